"""PgBouncer before the server of a test run, where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.postgres_server import PostgresServer
from tests.process.clients import eventually

# Where distributions put it, which is not on everybody's path.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
_PORT = 6432
_STOP_S = 20.0
# Few connections to the server, so that they go from one client to the other.
_SETTINGS = {
    "pool_mode": "transaction",
    "default_pool_size": "4",
    "max_client_conn": "1000",
    "query_wait_timeout": "20",
    # Or a server that restarts is not tried again for 15 s.
    "server_login_retry": "1",
    "auth_type": "any",
    "listen_port": str(_PORT),
    "listen_addr": "",
    "ignore_startup_parameters": "",
}


class Pooler:
    """A running pooler that only this machine reaches, by a socket in a folder of its own."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self._user = user

    def url(self, database: str) -> str:
        """Return the URL of a database of the server behind it."""
        return f"postgresql://{self._user}@/{database}?host={self.folder}&port={_PORT}"


def pgbouncer() -> str | None:
    """Return where the program is."""
    return shutil.which("pgbouncer", path=_PATH)


@contextmanager
def running_pooler(server: PostgresServer, **settings: str) -> Iterator[Pooler]:
    """Run a pooler before a server as long as the block; nothing of it is left."""
    program = pgbouncer()
    assert program is not None, "pgbouncer is not installed"
    folder = Path(tempfile.mkdtemp(prefix="tickets-pooler-", dir="/tmp"))
    owner = pwd.getpwnam(server.user)
    pooler = Pooler(folder, server.user)
    (folder / "pgbouncer.ini").write_text(_configuration(server, folder, settings))
    shutil.chown(folder, owner.pw_uid, owner.pw_gid)
    # It refuses to be run by root, and reaches the server's socket as the server's user.
    other = os.geteuid() != owner.pw_uid
    process = subprocess.Popen(
        [program, "-q", str(folder / "pgbouncer.ini")],
        user=owner.pw_uid if other else None,
        group=owner.pw_gid if other else None,
        extra_groups=[] if other else None,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: process.poll() is not None or _answers(pooler))
        assert process.poll() is None, (folder / "log").read_text()
        yield pooler
    finally:
        process.terminate()
        process.wait(_STOP_S)
        shutil.rmtree(folder, ignore_errors=True)


def _configuration(server: PostgresServer, folder: Path, settings: dict[str, str]) -> str:
    chosen = {
        **_SETTINGS,
        "unix_socket_dir": str(folder),
        "logfile": str(folder / "log"),
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in chosen.items()]
    return "\n".join(
        [
            "[databases]",
            f"* = host={server.folder} user={server.user}",
            "[pgbouncer]",
            *lines,
            "",
        ]
    )


def _answers(pooler: Pooler) -> bool:
    try:
        psycopg.connect(pooler.url("postgres")).close()
    except psycopg.OperationalError:
        return False
    return True
