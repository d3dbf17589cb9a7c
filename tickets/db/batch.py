"""Who waits for the write gate inside this process, and who shares one COMMIT."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from typing import Final

from tickets.floor import FLOOR, Seat

# A batch ends here even if writers still queue: its first member has waited long enough.
BATCH_MEMBERS: Final = 64
BATCH_SECONDS: Final = 0.020


class Batch:
    """One open transaction and those who share its COMMIT."""

    def __init__(self) -> None:
        self.members = 0
        self.topics: list[str] = []
        self.broken: Exception | None = None
        self._opened = time.monotonic()
        self._mutex = threading.Lock()
        self._is_settled = False
        self._seats: list[Seat] = []
        self._error: Exception | None = None

    def has_room(self) -> bool:
        """Tell whether one more may join."""
        return self.members < BATCH_MEMBERS and time.monotonic() - self._opened < BATCH_SECONDS

    def settle(self, error: Exception | None) -> None:
        """Announce the outcome to every member."""
        with self._mutex:
            self._error = error
            self._is_settled = True
        for seat in self._seats:
            seat.call()

    def wait(self) -> None:
        """Return once the batch is committed; raises what kept it from it."""
        with self._mutex:
            seat = None if self._is_settled else FLOOR.seat()
            if seat is not None:
                self._seats.append(seat)
        if seat is not None:
            seat.wait()
        if self._error is not None:
            # Each member raises its own copy: a traceback belongs to one thread.
            raise copy.copy(self._error) from self._error


class Line:
    """The queue of this process's writers; who is at its head has the turn."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self._places: deque[Seat] = deque()

    def enter(self) -> Seat | None:
        """Take the turn (None), or a place which is called when the turn arrives."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return None
            place = FLOOR.seat()
            self._places.append(place)
            return place

    def step_out(self, place: Seat) -> bool:
        """Give up a place; False where the turn is there already and must be used."""
        with self._mutex:
            try:
                self._places.remove(place)
            except ValueError:
                return False
            return True

    def hand_over(self) -> bool:
        """Give the turn to the next in line; False where nobody waits and it is kept.

        Counting and handing over are one step, so that a batch left open always has
        somebody who will close it.
        """
        with self._mutex:
            if not self._places:
                return False
            self._places.popleft().call(first=True)
            return True

    def leave(self) -> None:
        """Give the turn away, to nobody if nobody waits."""
        with self._mutex:
            if self._places:
                self._places.popleft().call(first=True)
            else:
                self._taken = False
