"""A PostgreSQL server for a test run, and databases on it that are copies of a migrated one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.process.serving import eventually

# Whoever runs the server in the place of root, who may not: the first that there is.
_SERVER_USERS = ("postgres", "nobody")
# How long a standby may take to notice that it is to follow nobody.
_FOLLOWED_S = 30.0
_SETTINGS = (
    "listen_addresses=",
    "max_connections=200",
    "shared_buffers=64MB",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_wal_size=256MB",
)


class NoServer(Exception):
    """There are no binaries of a PostgreSQL server here."""


class PostgresServer:
    """A running server that only this machine reaches, by a socket in a folder of its own."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self._binaries = binaries
        self._run_as = _server_user() if os.geteuid() == 0 else None
        self.user = self._run_as or pwd.getpwuid(os.geteuid()).pw_name

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    def create(self) -> None:
        """Make the files of a new server."""
        self.own(self.folder)
        self._run(
            "initdb", "-D", self._data, "-U", self.user, "-A", "trust", "-E", "UTF8",
            "--no-sync", "--locale=C.UTF-8",
        )  # fmt: skip

    def start(self, settings: Sequence[str] = _SETTINGS) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {each}" for each in settings)
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-t", "60", "-l", f"{self.folder}/log",
            "-o", f"-k {self.folder} {options}", "start",
        )  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``immediate`` is a crash, ``fast`` ends transactions first."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def stop_if_running(self) -> None:
        """Stop it, unless that was done before."""
        if Path(self._data, "postmaster.pid").exists():
            self.stop()

    def copy(self, primary: PostgresServer) -> None:
        """Make the files of a standby, which follows a running server once it is started."""
        self.own(self.folder)
        self._run(
            "pg_basebackup", "-D", self._data, "-h", str(primary.folder), "-U", self.user,
            "-c", "fast", "-X", "stream", "--no-sync", "-R",
        )  # fmt: skip

    def follow_nobody(self) -> None:
        """Return once a standby receives nothing any more, though it is one still."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        receivers = "SELECT COUNT(*) FROM pg_stat_wal_receiver"
        eventually(lambda: not self.value(receivers), within_s=_FOLLOWED_S)

    def promote(self) -> None:
        """Make a primary of a standby and wait until it is one."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "promote")

    def execute(self, sql: str) -> None:
        """Run a statement outside of the databases of the tests."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    def value(self, sql: str, database: str = "postgres") -> Any:
        """Return the one value that a query finds."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
        assert row is not None, sql
        return row[0]

    def own(self, folder: Path) -> None:
        """Let the server's user do with a folder what it wants."""
        if self._run_as is not None:
            owner = pwd.getpwnam(self._run_as)
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    @property
    def _data(self) -> str:
        return f"{self.folder}/data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            user=self._run_as,
            group=pwd.getpwnam(self._run_as).pw_gid if self._run_as else None,
            extra_groups=[] if self._run_as else None,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')}"


def _server_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _SERVER_USERS if name in known)


def binaries() -> Path:
    """Return the folder of a server's programs. Raises NoServer."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    if newest is not None:
        return newest.parent
    package = importlib.util.find_spec("pgserver")
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "pginstall" / "bin"
        if (inside / "initdb").exists():
            return inside
    raise NoServer(
        "no PostgreSQL server found: install postgresql or pip install pgserver,"
        " or leave these tests out with SKIP_POSTGRES=1"
    )


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server as long as the block; nothing of it is left."""
    with _place() as server:
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def primary_and_standby(
    *, synchronous: bool
) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Run two servers; ``synchronous`` is a primary that ends no commit before both have it.

    The block may stop the primary.
    """
    names = "*" if synchronous else ""
    with _place() as primary, _place() as standby, ExitStack() as stack:
        primary.create()
        primary.start([*_SETTINGS, f"synchronous_standby_names={names}"])
        stack.callback(primary.stop_if_running)
        standby.copy(primary)
        # Named here, so that it waits for nobody when it is the primary.
        standby.start([*_SETTINGS, "synchronous_standby_names="])
        stack.callback(standby.stop)
        yield primary, standby


@contextmanager
def _place() -> Iterator[PostgresServer]:
    found = binaries()
    # Not below a folder of pytest, which other users must not enter.
    folder = Path(tempfile.mkdtemp(prefix="tickets-pg-", dir="/tmp"))
    try:
        yield PostgresServer(folder, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
