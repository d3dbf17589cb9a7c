"""Disks that fill up: a real small one where it can be mounted, else a limit on files.

With a database server it holds the tables, as a tablespace. The server's log is elsewhere: when
that has no room the server itself goes down, whatever its clients do.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import databases
from tests.process.clients import workers_of
from tests.process.serving import Server

# Far more than the rounds of a drill write: what is cleared has to be room enough for the log
# and for all that the log has yet to bring into the database.
DISK_BYTES = 64 << 20
# What is left when it is full; SQLite asks for pages of 4 KiB.
LEFT_BYTES_MAX = 64 << 10
TABLESPACE = "tablespace"


class Disk(ABC):
    """A place for a database that can be made full, and empty again, while it is in use."""

    # What a write is answered that does not fit.
    full_status: int

    def __init__(self, home: Path, folder: Path | None = None) -> None:
        """Keep where the service is started, and what fills up where that is another folder."""
        self.home = home
        self.folder = folder or home

    @abstractmethod
    def fill(self, server: Server, left_bytes: int) -> None:
        """Leave room for so many bytes."""

    @abstractmethod
    def clear(self, server: Server) -> None:
        """Make room again."""


class MountedDisk(Disk):
    """A file system of its own, in memory, which another file fills."""

    full_status = 507

    def fill(self, server: Server, left_bytes: int) -> None:
        free = shutil.disk_usage(self.folder).free
        # The service may have written in between.
        with suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as filler:
            filler.write(bytes(max(0, free - left_bytes)))

    def clear(self, server: Server) -> None:
        (self.folder / "filler").unlink()


class LimitedFiles(Disk):
    """An ordinary folder; the server's processes may not let a file grow beyond a size.

    Weaker than a full disk: what fits into the files as they are can still be written.
    """

    full_status = 503

    def fill(self, server: Server, left_bytes: int) -> None:
        size = max(file.stat().st_size for file in self.home.glob("t.db*"))
        self._limit(server, size + left_bytes)

    def clear(self, server: Server) -> None:
        self._limit(server, resource.RLIM_INFINITY)

    def _limit(self, server: Server, soft: int) -> None:
        for pid in workers_of(server):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def ways() -> list[str]:
    """Return the names of the disks that this machine can give; it must be one at least."""
    if databases.Kind.chosen == databases.POSTGRES:
        return [TABLESPACE]
    found = ["mounted"] if _can_mount() else []
    if hasattr(resource, "prlimit"):
        found.append("limited files")
    return found or ["none"]


@contextmanager
def small_disk(way: str, folder: Path) -> Iterator[Disk]:
    """Give a small disk below ``folder``."""
    if way == "limited files":
        yield LimitedFiles(folder)
        return
    if way == TABLESPACE:
        if not _can_mount():
            pytest.skip("a small disk for a server's tables has to be mounted")
        with _small_tablespace(folder) as place:
            yield MountedDisk(folder, place)
        return
    assert way == "mounted", "no small disk: this test wants to mount one, or Linux's prlimit"
    home = folder / "disk"
    home.mkdir()
    _mount(home)
    try:
        yield MountedDisk(home)
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


@contextmanager
def _small_tablespace(home: Path) -> Iterator[Path]:
    """Let the database of a service in ``home`` be on a small disk."""
    # Not below a folder of pytest, which the server's user must not enter.
    place = Path(tempfile.mkdtemp(prefix="tickets-disk-", dir="/tmp"))
    _mount(place)
    try:
        with databases.tablespace_of_home(home, place):
            yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


def _mount(home: Path) -> None:
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"]
    subprocess.run(["mount", *options, str(home)], check=True, capture_output=True)


def _can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            _mount(Path(folder))
        except subprocess.CalledProcessError:
            return False
        subprocess.run(["umount", folder], check=True)
    return True
