"""Counts and times, in memory that worker processes share by forking.

Not in files: a page that a full disk has no room for kills the process that touches it.
Each process writes to a table of its own, and every process reads all of them.
"""

from __future__ import annotations

import mmap
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

# Bounds in seconds, dense where a request of this service usually is.
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

# More than there are combinations of labels, most of them of routes, methods and statuses; only
# what is used takes memory.
ROWS_MAX: Final = 2_048
_KEY_BYTES: Final = 128
# What was timed by duration, the last for what is beyond all bounds, and then the sum. What is
# only counted has nothing but the sum.
_BUCKETS: Final = len(LATENCY_BUCKETS_S) + 1
_NUMBERS: Final = _BUCKETS + 1
_ROW_BYTES: Final = _KEY_BYTES + 8 * _NUMBERS
_TABLE_BYTES: Final = 8 + ROWS_MAX * _ROW_BYTES

_SEPARATOR = "\n"

# The name of a metric, and the values of its labels.
Key = tuple[str, ...]


class Row(NamedTuple):
    """What one process has counted, or timed, under one key."""

    table: int
    key: Key
    buckets: list[int]
    sum: float


class Counters:
    """Tables of rows; a process that replaces another goes on with its table."""

    def __init__(self, tables: int = 1) -> None:
        self._tables = tables
        self._memory = mmap.mmap(-1, tables * _TABLE_BYTES)
        self._numbers = memoryview(self._memory).cast("d")
        self._owners: dict[int, int] = {}
        self._own = 0
        self._lock = threading.Lock()
        self._places: dict[Key, int] = {}
        # Kept by those who are forked: when the service started, not one of its processes.
        self.started_s = time.time()

    def lend(self, worker: int) -> None:
        """Choose the table of a process that is about to be forked."""
        taken = set(self._owners.values())
        free = (table for table in range(self._tables) if table not in taken)
        # Two processes on one table lose counts, and nothing else.
        self._own = self._owners[worker] = next(free, 0)

    def take_back(self, worker: int) -> None:
        """Let the table of a process that ended go to another one; its counts stay."""
        self._owners.pop(worker, None)

    def open(self) -> None:
        """Go on with the table that was lent, in the process that was forked."""
        self._lock = threading.Lock()
        self._places = {
            row.key: self._place(self._own, index)
            for index, row in enumerate(self._rows(self._own))
        }

    def count(self, key: Key, times: int = 1) -> None:
        """Count so many more."""
        with self._lock:
            place = self._found(key)
            if place is not None:
                self._numbers[place + _BUCKETS] += times

    def time(self, *timed: tuple[Key, float]) -> None:
        """Count one more under each key, which took so many seconds."""
        with self._lock:
            for key, seconds in timed:
                place = self._found(key)
                if place is not None:
                    self._numbers[place + bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
                    self._numbers[place + _BUCKETS] += seconds

    def rows(self) -> Iterator[Row]:
        """Yield what all processes have counted."""
        for table in range(self._tables):
            yield from self._rows(table)

    def _found(self, key: Key) -> int | None:
        place = self._places.get(key)
        return place if place is not None else self._add(key)

    def _add(self, key: Key) -> int | None:
        text = _SEPARATOR.join(key).encode()
        size_place = self._own * _TABLE_BYTES // 8
        index = int(self._numbers[size_place])
        if index == ROWS_MAX or len(text) > _KEY_BYTES:
            return None
        place = self._place(self._own, index)
        start = place * 8 - _KEY_BYTES
        self._memory[start : start + _KEY_BYTES] = text.ljust(_KEY_BYTES, b"\0")
        # Last: others may be reading.
        self._numbers[size_place] = index + 1
        self._places[key] = place
        return place

    def _rows(self, table: int) -> Iterator[Row]:
        for index in range(int(self._numbers[table * _TABLE_BYTES // 8])):
            place = self._place(table, index)
            text = self._memory[place * 8 - _KEY_BYTES : place * 8].rstrip(b"\0").decode()
            numbers = self._numbers[place : place + _NUMBERS].tolist()
            buckets = [int(number) for number in numbers[:_BUCKETS]]
            yield Row(table, tuple(text.split(_SEPARATOR)), buckets, numbers[_BUCKETS])

    @staticmethod
    def _place(table: int, index: int) -> int:
        """Return where the numbers of a row begin, counted in numbers."""
        return (table * _TABLE_BYTES + 8 + index * _ROW_BYTES + _KEY_BYTES) // 8


# Set by the server before it forks; a process that serves alone has counters of its own.
_shared: list[Counters] = []


def share(counters: Counters) -> None:
    """Make all applications of this process, and of those forked from it, use these."""
    _shared[:] = [counters]


def shared() -> Counters:
    """Return the counters of this process: those shared, or new ones."""
    if not _shared:
        return Counters()
    _shared[0].open()
    return _shared[0]
