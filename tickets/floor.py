"""The floor of a process: one thread at a time runs, the others wait outside for their turn.

Python runs one thread at a time anyway, but hands over at every call that may block, some
thirty times in one request that writes: threads that all want to run spend a third of the
processor's time on waking each other. Here a thread takes the floor for a request and leaves it
only where it really waits; and who waits for another thread in a ``Seat`` is not woken before
the floor is free for it. It is a matter of speed and of nothing else: who could have run for a
few milliseconds runs without it, so that nobody waits for a long query or for a slow disk.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Final

PATIENCE_S: Final = 0.005
# How often a thread in a seat looks whether it was called long ago.
GLANCE_MAX_S: Final = 0.02


class Floor:
    """Taken by ``with``; whoever has it and blocks does so inside ``away``, or in a seat."""

    def __init__(self) -> None:
        # Guards the rest, and what is said of each seat.
        self._mutex = threading.Lock()
        self._is_taken = False
        self._called: deque[Seat] = deque()
        self._here = threading.local()
        self.away = _Away(self)

    def __enter__(self) -> None:
        with self._mutex:
            if not self._is_taken:
                self._is_taken = self._here.has_it = True
                return
            seat = Seat(self, wants_floor=True)
            self._line_up(seat)
        try:
            self.take_place(seat)
        except BaseException:
            # Nobody leaves a block that was not entered.
            self.give_up()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_up()

    def is_mine(self) -> bool:
        """Tell whether this thread has the floor."""
        return getattr(self._here, "has_it", False)

    def seat(self) -> Seat:
        """Return a place for this thread to wait for another one."""
        return Seat(self, wants_floor=self.is_mine())

    def give_up(self) -> bool:
        """Let the next thread run; return whether this one had the floor."""
        if not self.is_mine():
            return False
        self._here.has_it = False
        with self._mutex:
            if self._called:
                self._called.popleft().ring()
            else:
                self._is_taken = False
        return True

    def call(self, seat: Seat, *, first: bool) -> None:
        """Let the thread in a seat run once the floor is free, before others if ``first``."""
        with self._mutex:
            if seat.is_left or not seat.wants_floor:
                seat.is_called = True
                seat.ring()
            elif not self._is_taken:
                self._is_taken = seat.is_called = True
                seat.ring()
            else:
                self._line_up(seat, first=first)

    def take_place(self, seat: Seat, timeout_s: float | None = None) -> bool:
        """Wait in a seat, without the floor; return whether it was called in time."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        glance_s = PATIENCE_S
        try:
            while not seat.bell.acquire(timeout=_left_s(deadline_s, glance_s)):
                now_s = time.monotonic()
                if seat.is_called:
                    if now_s - seat.called_s >= PATIENCE_S:
                        break
                    # It was in time; a moment that is over would have it look without a pause.
                    deadline_s, glance_s = None, PATIENCE_S
                elif deadline_s is not None and now_s >= deadline_s:
                    break
                else:
                    glance_s = min(2 * glance_s, GLANCE_MAX_S)
        finally:
            self._leave(seat)
        return seat.is_called

    def _line_up(self, seat: Seat, *, first: bool = False) -> None:
        seat.called_s = time.monotonic()
        seat.is_called = True
        if first:
            self._called.appendleft(seat)
        else:
            self._called.append(seat)

    def _leave(self, seat: Seat) -> None:
        """Take what came with the call, or see to it that none comes for an empty seat."""
        has_it = seat.is_rung
        if not has_it:
            with self._mutex:
                # Later it may be rung all the same, and then without the floor.
                has_it = seat.is_rung
                seat.is_left = True
                if seat.is_called and not has_it:
                    self._called.remove(seat)
        self._here.has_it = has_it and seat.wants_floor


class Seat:
    """Where a thread waits until another calls it; the floor comes with the call."""

    __slots__ = ("_floor", "bell", "called_s", "is_called", "is_left", "is_rung", "wants_floor")

    def __init__(self, floor: Floor, *, wants_floor: bool) -> None:
        self._floor = floor
        self.bell = threading.Lock()
        self.bell.acquire()
        self.wants_floor = wants_floor
        self.called_s = 0.0
        self.is_called = False
        self.is_rung = False
        self.is_left = False

    def call(self, *, first: bool = False) -> None:
        """Let the thread go on, once; before others that were called, if ``first``."""
        self._floor.call(self, first=first)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the call; return False where none came in time.

        A later one tells others that it was called, and brings no floor.
        """
        self._floor.give_up()
        return self._floor.take_place(self, timeout_s)

    def ring(self) -> None:
        """Wake the thread: what it waits for is its own now."""
        self.is_rung = True
        self.bell.release()


def _left_s(deadline_s: float | None, glance_s: float) -> float:
    if deadline_s is None:
        return glance_s
    return max(0.0, min(glance_s, deadline_s - time.monotonic()))


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
