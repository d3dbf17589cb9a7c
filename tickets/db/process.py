"""What one process has open of a database: its gate, and a reader for each thread."""

from __future__ import annotations

import sqlite3
import threading

from tickets.db import sqlite
from tickets.db.gate import Gate
from tickets.db.sqlite_transaction import SqliteTransaction

# What must not be closed: a forked process that closed its parent's connections would
# checkpoint, or delete, a log in use, and so would one that closed them outside the gate.
# Python would close them by collecting them.
UNCLOSED: list[object] = []


class Reader:
    """A reading connection and the thread that it belongs to."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.thread = threading.current_thread()
        self.in_use = threading.Lock()


class Here(threading.local):
    """What belongs to the current thread."""

    reader: Reader | None = None
    transaction: SqliteTransaction | None = None


class Process:
    """Everything that one process has open; a forked child starts with a new one."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.here = Here()
        self.mutex = threading.Lock()
        self.readers: list[Reader] = []
        self.is_ready = False
        self.is_closed = False

    def close_readers(self) -> None:
        """Close the reading connections that no block is using."""
        for reader in self.readers:
            if reader.in_use.acquire(blocking=False):
                reader.connection.close()
                reader.in_use.release()
            else:
                UNCLOSED.append(reader.connection)

    def reader(self, path: str, busy_timeout_ms: int) -> Reader:
        """Return this thread's reading connection, taking over that of a dead thread.

        Raises DatabaseReplaced.
        """
        reader = self.here.reader
        if reader is not None:
            return reader
        with self.mutex:
            for reader in self.readers:
                if not reader.thread.is_alive():
                    reader.thread = threading.current_thread()
                    break
            else:
                # SQLite would make a new file of one that was deleted.
                self.gate.check_files()
                with sqlite.translated(path):
                    reader = Reader(sqlite.open_reader(path, busy_timeout_ms))
                self.readers.append(reader)
        self.here.reader = reader
        return reader
