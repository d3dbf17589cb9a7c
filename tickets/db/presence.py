"""Whether the files that are open are still those on disk.

A deleted file can be written to for as long as it is open, and everything written is gone when
it is closed. The database is asked about by its name and never opened for it: closing any
descriptor of it would give up the locks that SQLite holds on it.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from tickets.db import sqlite
from tickets.db.log import Log
from tickets.errors import DatabaseReplaced

# Looking costs a claim 11 µs of 230, so not every writer looks. What was written before a file
# was deleted is as lost as what is written in this time after it.
LOOK_EVERY_S: Final = 0.020

_LOG_DELETED = (
    "The write-ahead log of the database was deleted; stop the service, but do not kill it, so"
    " that it saves what is in there, and start it again"
)

logger = logging.getLogger(__name__)


class Presence:
    """Remembers which file the first connection opened."""

    def __init__(self, path: str, log: Log) -> None:
        self._path = path
        self._log = log
        # Device and number, 0 and 0 while nothing was opened.
        self._device = self._number = 0
        self._next_look_s = 0.0
        self._is_told = False

    def remember(self) -> None:
        """Note which file the path names, the first time. Raises DatabaseReplaced, Busy."""
        if not self._number:
            found = self._look()
            self._device, self._number = found.st_dev, found.st_ino

    def check_sometimes(self, now_s: float) -> None:
        """Check unless that was done a moment ago, by a clock that is never set."""
        if now_s >= self._next_look_s:
            self.check()
            self._next_look_s = now_s + LOOK_EVERY_S

    def check(self) -> None:
        """Return where both files are there, or none was open yet.

        Raises DatabaseReplaced, and Busy where the file system does not answer.
        """
        if not self._number:
            return
        found = self._look()
        if (found.st_dev, found.st_ino) != (self._device, self._number):
            raise self._lost(DatabaseReplaced.message)
        if self._log.is_deleted():
            raise self._lost(_LOG_DELETED)
        self._is_told = False

    def _look(self) -> os.stat_result:
        try:
            return os.stat(self._path)  # noqa: PTH116  # half the time of Path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._lost(DatabaseReplaced.message) from error
        except OSError as error:
            raise sqlite.of_os_error(error, self._path) from error

    def _lost(self, text: str) -> DatabaseReplaced:
        if not self._is_told:
            self._is_told = True
            logger.error("%s: %s", self._path, text)
        return DatabaseReplaced(text)
