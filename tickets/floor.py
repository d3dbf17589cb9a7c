"""The floor of a process: one thread at a time runs, the others wait outside for their turn.

Python runs one thread at a time anyway, but hands over at every call that may block, some
thirty times in one request that writes: threads that all want to run spend a third of the
processor's time on waking each other. Here a thread takes the floor for a request and leaves it
only where it really waits. It is a matter of speed and of nothing else: who has waited a few
milliseconds runs without it, so that nobody waits for a long query or for a slow disk.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final

PATIENCE_S: Final = 0.005


class Floor:
    """Taken by ``with``; whoever has it and blocks does so inside ``away``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here = threading.local()
        self.away = _Away(self)

    def __enter__(self) -> None:
        self._here.has_it = self._lock.acquire(timeout=PATIENCE_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_up()

    def give_up(self) -> bool:
        """Let another thread run; return whether this one had the floor."""
        if not getattr(self._here, "has_it", False):
            return False
        self._here.has_it = False
        self._lock.release()
        return True


class _Away:
    """A thread without the floor does the same without effect."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._here = threading.local()

    def __enter__(self) -> None:
        self._here.left = self._floor.give_up()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._here.left:
            self._floor.__enter__()


# One for the process, as is the lock of the interpreter that it spares.
FLOOR = Floor()


def _after_fork_in_child() -> None:
    FLOOR.__init__()  # type: ignore[misc]  # whoever held it stayed behind


os.register_at_fork(after_in_child=_after_fork_in_child)
