"""Whose turn it is to accept: workers share connections evenly, so that they share the cores.

All workers wait on one listening socket, and whoever wakes first would accept a whole burst.
Kept-alive connections stay where they are, so the other processes would idle from then on.
"""

from __future__ import annotations

import mmap
from typing import Final

# More than there are workers; a worker's slot is its serial number modulo this.
_SLOTS: Final = 256
_ABSENT: Final = (1 << 32) - 1


class Turns:
    """How many connections each worker holds, in memory that is shared by forking."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, _SLOTS * 4)).cast("I")
        for slot in range(_SLOTS):
            self._counts[slot] = _ABSENT

    def tell(self, worker: int, count: int) -> None:
        """Say how many connections a worker holds now."""
        self._counts[worker % _SLOTS] = count

    def forget(self, worker: int) -> None:
        """Leave out a worker that ended."""
        self._counts[worker % _SLOTS] = _ABSENT

    def is_mine(self, count: int) -> bool:
        """Tell whether a worker with ``count`` connections holds no more than any other."""
        return count <= min(self._counts)

    def total(self) -> int:
        """Return how many connections all workers hold."""
        return sum(count for count in self._counts if count != _ABSENT)
