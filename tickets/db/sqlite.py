"""What only SQLite needs: opening, pragmas and the translation of its errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from tickets.db.errors import ConstraintViolated, StatementFailed
from tickets.errors import Busy, Invalid, PayloadTooLarge, StorageFull, TicketsError

Durability = Literal["full", "normal"]

CACHED_STATEMENTS: Final = 512  # more than the sql/ tree holds: nothing is prepared twice
# How long SQLite's own busy handler sleeps for a foreign lock before the gate looks at
# the deadline of the writer at its head again.
WRITER_STEP_MS: Final = 100
# What the write-ahead log keeps of the disk when it begins anew. Its size then tells whether it
# has grown since, and what a long reader made it grow by is given back.
KEPT_LOG_BYTES: Final = 4 << 20
# Below this much free space an I/O error is taken for a full disk: SQLite reports ENOSPC as
# such only from write(), not from fsync, fallocate or the growth of the shared-memory file.
_FULL_BELOW_BYTES: Final = 1 << 20

DRIVER_ERRORS: Final = (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError)

_COMMON_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA temp_store = MEMORY",
)
_WRITER_PRAGMAS = (
    "PRAGMA cache_size = -65536",
    "PRAGMA busy_timeout = 100",
    # Checkpoints sync what they must; commits are synced by the gate (see log.py).
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA journal_size_limit = {KEPT_LOG_BYTES}",
)
_READER_PRAGMAS = ("PRAGMA cache_size = -8192", "PRAGMA query_only = ON")

_FILE_TROUBLE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_UNUSABLE = "The database file cannot be read or written now"
_DAMAGED = "The database file is damaged or is no database"
_MEANINGS: dict[int, tuple[type[TicketsError], str | None]] = {
    sqlite3.SQLITE_BUSY: (Busy, None),
    sqlite3.SQLITE_LOCKED: (Busy, None),
    sqlite3.SQLITE_INTERRUPT: (Busy, None),
    sqlite3.SQLITE_PROTOCOL: (Busy, None),
    sqlite3.SQLITE_FULL: (StorageFull, None),
    sqlite3.SQLITE_TOOBIG: (PayloadTooLarge, "A value is too large for the database"),
    sqlite3.SQLITE_IOERR: (Busy, _UNUSABLE),
    sqlite3.SQLITE_CANTOPEN: (Busy, _UNUSABLE),
    sqlite3.SQLITE_READONLY: (Busy, _UNUSABLE),
    sqlite3.SQLITE_PERM: (Busy, _UNUSABLE),
    sqlite3.SQLITE_NOMEM: (Busy, "The service is out of memory"),
    sqlite3.SQLITE_CORRUPT: (TicketsError, _DAMAGED),
    sqlite3.SQLITE_NOTADB: (TicketsError, _DAMAGED),
}


def check_path(path: str) -> None:
    """Refuse what is no file; raises ValueError."""
    if not path or path == ":memory:" or path.startswith("file:"):
        raise ValueError(f"the database must be a path to a file, not {path!r}")


def create_file(path: str) -> None:
    """Create the database file, readable by its owner only, and every folder above it."""
    if Path(path).exists():
        return
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # The file's name has to survive a power cut as well as what is committed into it.
    sync(Path(path).absolute().parent)


def open_writer(path: str) -> sqlite3.Connection:
    """Open a process's one writing connection; the caller is inside the gate."""
    connection = _connect(path, WRITER_STEP_MS)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise TicketsError("The file system of the database cannot carry a write-ahead log")
        _apply(connection, (*_COMMON_PRAGMAS, *_WRITER_PRAGMAS))
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str, busy_timeout_ms: int) -> sqlite3.Connection:
    """Open a connection that refuses to write; the file is there and in WAL mode."""
    connection = _connect(path, busy_timeout_ms)
    _apply(connection, (*_COMMON_PRAGMAS, *_READER_PRAGMAS))
    return connection


def _connect(path: str, timeout_ms: int) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=timeout_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )


def _apply(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    for pragma in pragmas:
        connection.execute(pragma).fetchall()


def copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy the view of ``source`` into a new file and flush it to disk."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    destination = sqlite3.connect(target, isolation_level=None)
    try:
        # All pages in one step: with smaller ones every write in between starts it anew.
        source.backup(destination, pages=-1)
    finally:
        destination.close()
    sync(target)


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def problems(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite's own checks find wrong."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [text for text in found if text != "ok"] + [
        f"row {rowid} of {table} refers to a missing row of {parent}"
        for table, rowid, parent, _ in orphans
    ]


@contextmanager
def translated(path: str, doing: str = "") -> Iterator[None]:
    """Turn what the driver raises inside the block into the family; ``doing`` names it."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error, path, doing) from error


def translate(error: Exception, path: str, doing: str = "") -> Exception:
    """Return the exception of ours that says what the driver's exception means."""
    if isinstance(error, OverflowError):
        return Invalid("A number does not fit into 64 bits")
    if isinstance(error, UnicodeError):
        return Invalid("A text is not valid Unicode")
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return StatementFailed(f"{doing or 'statement'}: {error}")
    return _of_code(extended & 0xFF, error, path, doing)


def is_lock(error: BaseException | None) -> bool:
    """Tell whether a driver's error says that another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def of_os_error(
    error: OSError, path: str, folder: str = "The database's folder"
) -> TicketsError:
    """Return the exception of ours for a file beside ``path`` that cannot be used."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or disk_is_full(path):
        return StorageFull()
    return Busy(f"{folder} cannot be used now: {error.strerror}")


def _of_code(code: int, error: Exception, path: str, doing: str) -> Exception:
    if code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH):
        return _constraint(error)
    if code in _FILE_TROUBLE and disk_is_full(path):
        return StorageFull()
    meaning = _MEANINGS.get(code)
    if meaning is None:
        return StatementFailed(f"{doing or 'statement'}: {error}")
    family, text = meaning
    return family(text)


def _constraint(error: Exception) -> ConstraintViolated:
    text = str(error)
    kind, found, constraint = text.partition(" constraint failed")
    if not found:
        return ConstraintViolated(text, "datatype", text)
    constraint = constraint.removeprefix(": ").removeprefix("index ").strip("'")
    return ConstraintViolated(text, kind.lower(), constraint)


def disk_is_full(path: str) -> bool:
    """Tell whether the file system that holds ``path`` has no room left to speak of.

    One without any blocks, such as /proc, is no place for files and never full.
    """
    try:
        room = os.statvfs(Path(path).absolute().parent)
    except OSError:
        return False
    return room.f_blocks > 0 and room.f_bavail * room.f_frsize < _FULL_BELOW_BYTES
