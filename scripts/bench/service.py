"""Starts the service that is measured, and looks at what its processes use."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from scripts.bench.connection import Address

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 60.0
IDLE_PERCENT = 10.0
_LISTENING = re.compile(r"listening (http://\S+:\d+)\n")


@dataclass(frozen=True)
class Chosen:
    """How the service is started; None is the service's own default.

    ``url`` names one that runs already. ``db`` is ``sqlite`` (a fresh file) or the URL of a
    PostgreSQL database; beside that each service gets a fresh one of its own.
    """

    url: str | None = None
    token: str | None = None
    db: str = "sqlite"
    scratch: Path | None = None
    workers: int | None = None
    threads: int | None = None
    durability: str | None = None
    ledger_feed: str | None = None

    @property
    def kind(self) -> str:
        """The kind of database, which names the files of the result."""
        return self.db.partition("://")[0].partition("+")[0]

    def flags(self, db: str) -> list[str]:
        """Return the flags of ``tickets serve`` on a database."""
        flags = ["--port", "0", "--db", db]
        for name in ("workers", "threads", "durability", "ledger_feed"):
            value = getattr(self, name)
            flags += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
        return flags


@dataclass
class Service:
    """One running service; ``group`` is None where we did not start it."""

    address: Address
    group: int | None = None

    def cpu_s(self) -> float | None:
        """Return the CPU time that its processes have used; None where nobody tells."""
        if self.group is None or not Path("/proc/self/stat").exists():
            return None
        ticks = sum(_ticks_of_group(self.group))
        return ticks / os.sysconf("SC_CLK_TCK")

    def settle(self, at_most_s: float) -> None:
        """Wait until it has little left to do by itself."""
        # Writing back a large database goes on for a while after the answers to it.
        deadline = time.monotonic() + at_most_s
        while time.monotonic() < deadline:
            percent = self.cpu_percent(0.25)
            if percent is None or percent < IDLE_PERCENT:
                return

    def cpu_percent(self, seconds: float) -> float | None:
        """Return the share of one core that it uses while nobody asks it for anything."""
        before, begun_s = self.cpu_s(), time.monotonic()
        if before is None:
            return None
        time.sleep(seconds)
        after = self.cpu_s()
        assert after is not None
        return 100 * (after - before) / (time.monotonic() - begun_s)


def _ticks_of_group(group: int) -> Iterator[int]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything.
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield int(fields[11]) + int(fields[12])


@contextmanager
def serving(chosen: Chosen, durability: str | None = None) -> Iterator[Service]:
    """Give a service: that of the URL, or a fresh one that ends afterwards."""
    if chosen.url is not None:
        yield Service(Address.of(chosen.url, chosen.token))
        return
    chosen = replace(chosen, durability=durability or chosen.durability)
    with _home(chosen) as home, _database(chosen, home) as db:
        log = home / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "tickets", "serve", *chosen.flags(db)],
                env=_environment(home),
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
            )
        try:
            yield Service(Address.of(_listening(process, log)), process.pid)
        finally:
            _stop(process)


@contextmanager
def _home(chosen: Chosen) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="tickets-bench-", dir=chosen.scratch))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _database(chosen: Chosen, home: Path) -> Iterator[str]:
    """Make what ``--db`` is to say, and drop it afterwards."""
    if chosen.kind == "sqlite":
        yield str(home / "bench.db")
        return
    import psycopg
    from psycopg import sql

    name = f"tickets_bench_{time.time_ns():x}"
    with psycopg.connect(chosen.db, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(chosen.db)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _environment(home: Path) -> dict[str, str]:
    """Return an environment without settings of the caller's own service."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        match = _LISTENING.search(log.read_text(errors="replace"))
        if match:
            return match[1]
        time.sleep(0.02)
    raise RuntimeError(f"the service did not start:\n{log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
