"""The write-ahead log as a file: what is committed becomes durable here, outside the gate.

SQLite would sync the log inside COMMIT, while every other writer waits. Commits here only
append to it (``synchronous=NORMAL``); whoever committed then lets the next writer in, syncs the
file, and is answered after that. A sync covers all that was appended before it, so no write is
durable later than one that builds on it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

# macOS has no fdatasync().
flush = getattr(os, "fdatasync", os.fsync)
_PIECE_BYTES: Final = 1 << 20


class Log:
    """The log of one database. Everything raises OSError but close()."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}-wal"
        self._file: _Descriptor | None = None
        self._is_doubtful = False

    def open(self) -> None:
        """Keep the file open, as long as the writing connection is; the gate is held."""
        if self._file is None:
            self._file = self._opened()

    def close(self) -> None:
        """Let go of the file; it is closed when nobody syncs it any more."""
        self._file = None

    def is_deleted(self) -> bool:
        """Tell whether the file that is open has lost its name, and was not let go of."""
        file = self._file
        if file is None or os.fstat(file.number).st_nlink:
            return False
        # The last connection deletes it when it is closed, and lets go of it before that.
        return file is self._file

    def sync(self) -> None:
        """Return once everything that was committed before is on disk."""
        # Without a file the last connection has moved the log into the database, durably.
        with suppress(FileNotFoundError):
            file = self._file or self._opened()
            try:
                flush(file.number)
            except OSError:
                self._is_doubtful = True
                raise

    def mend(self) -> None:
        """Write the log once more as it reads, where a sync failed; the gate is held.

        The system takes what it could not write for written, so that the next sync would
        succeed with a hole in what it covers.
        """
        if not self._is_doubtful:
            return
        with suppress(FileNotFoundError):
            file = self._opened()
            at = 0
            while piece := os.pread(file.number, _PIECE_BYTES, at):
                os.pwrite(file.number, piece, at)
                at += len(piece)
            flush(file.number)
        self._is_doubtful = False

    def _opened(self) -> _Descriptor:
        return _Descriptor(os.open(self._path, os.O_RDWR | os.O_CLOEXEC))


class _Descriptor:
    """An open file, closed with the last reference: one thread may sync what another drops."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)
