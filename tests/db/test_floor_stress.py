"""Many threads on the floor and at the gate, most of which give up in some instant or other.

Whatever happens to each: all come back, one at a time has the turn, nobody is told of a commit
that was not, and at the end nothing is held by anybody.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, TicketsError
from tickets.floor import FLOOR, Floor, Seat

PATIENCE_S = 0.0005
TIMES_S = (0.0, 0.0, 1e-6, 1e-5, 1e-4, PATIENCE_S, 1e-3)
SEEDS = range(3)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let threads take turns far more often than they would, and lose patience as fast."""
    monkeypatch.setattr("tickets.floor.PATIENCE_S", PATIENCE_S)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def assert_free(floor: Floor) -> None:
    assert not floor._is_taken
    assert not floor._called


class Walkers:
    """Threads that take the floor, wait in seats, and call each other."""

    def __init__(self, seed: int) -> None:
        self.floor = Floor()
        self._seed = seed
        self._mutex = threading.Lock()
        self._seats: list[Seat] = []
        self._holder: int | None = None
        self.seen: Counter[str] = Counter()

    def walk(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        for _ in range(60):
            with self.floor:
                self._arrive()
                for _ in range(3):
                    chance.choice((self._step_away, self._sit, self._call))(chance)
                self._depart()

    def keep_house(self, number: int) -> None:
        """Do the same without the floor, as a thread of the service's own."""
        chance = random.Random(f"{self._seed} {number}")
        for _ in range(100):
            self._call(chance)
            self._wait(chance)
            assert not self.floor.is_mine()

    def _step_away(self, chance: random.Random) -> None:
        self._depart()
        with self.floor.away:
            time.sleep(chance.choice(TIMES_S))
        self._arrive()

    def _sit(self, chance: random.Random) -> None:
        seat = self._offer()
        self._depart()
        self._wait(chance, seat)
        self._arrive()

    def _wait(self, chance: random.Random, seat: Seat | None = None) -> None:
        seat = seat or self._offer()
        is_called = seat.wait(chance.choice(TIMES_S))
        self.seen["called" if is_called else "too late"] += 1
        with self._mutex:
            if seat in self._seats:
                assert not is_called
                self._seats.remove(seat)

    def _offer(self) -> Seat:
        seat = self.floor.seat()
        with self._mutex:
            self._seats.append(seat)
        return seat

    def _call(self, chance: random.Random) -> None:
        with self._mutex:
            if not self._seats:
                return
            seat = self._seats.pop(chance.randrange(len(self._seats)))
        seat.call(first=chance.random() < 0.5)

    def _arrive(self) -> None:
        if self.floor.is_mine():
            assert self._holder is None, "two have the floor"
            self._holder = threading.get_ident()

    def _depart(self) -> None:
        if self.floor.is_mine():
            assert self._holder == threading.get_ident()
            self._holder = None


@pytest.mark.parametrize("seed", SEEDS)
def test_one_has_the_floor_and_nobody_in_the_end(seed: int, start: Callable[..., Any]) -> None:
    walkers = Walkers(seed)

    threads = [start(partial(walkers.walk, number)) for number in range(8)]
    threads += [start(partial(walkers.keep_house, number)) for number in (8, 9)]
    for thread in threads:
        thread.result()

    assert_free(walkers.floor)
    assert set(walkers.seen) == {"called", "too late"}


class Interrupts:
    """Some waits of some threads are interrupted, before, while or after they were called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = threading.local()
        self._take_place = FLOOR.take_place
        monkeypatch.setattr(FLOOR, "take_place", self._interrupted)

    def begin(self, chance: random.Random) -> None:
        self._here.chance = chance

    def _interrupted(self, seat: Seat, timeout_s: float | None = None) -> bool:
        chance = getattr(self._here, "chance", None)
        if chance is not None and chance.random() < 0.1:
            seat.bell = _Broken(seat.bell, chance.choice(TIMES_S))  # type: ignore[assignment]
        return self._take_place(seat, timeout_s)


class _Broken:
    def __init__(self, bell: threading.Lock, after_s: float) -> None:
        self._bell = bell
        self._after_s = after_s
        self.release = bell.release

    def acquire(self, *, timeout: float) -> bool:
        self._bell.acquire(timeout=min(timeout, self._after_s))
        raise KeyboardInterrupt


class Writers:
    """Threads that write under one name each time, and keep what they were told of it."""

    def __init__(self, db: SqliteDatabase, interrupts: Interrupts, seed: int) -> None:
        self._db = db
        self._interrupts = interrupts
        self._seed = seed
        self._at_turn: int | None = None
        self.told: dict[str, set[str]] = {"done": set(), "not done": set(), "unknown": set()}

    def write_much(self, number: int, *, has_floor: bool) -> None:
        chance = random.Random(f"{self._seed} {number}")
        self._interrupts.begin(chance)
        witness = sqlite3.connect(self._db.path, isolation_level=None)
        for turn in range(40):
            name = f"{number}-{turn}"
            try:
                with FLOOR if has_floor else nullcontext():
                    outcome = self._write(name, chance)
            except KeyboardInterrupt:
                # At the gate, or when it waited for the commit.
                outcome = "unknown"
            self.told[outcome].add(name)
            query = "SELECT count(*) FROM things WHERE name = ?"
            (rows,) = witness.execute(query, (name,)).fetchone()
            if outcome != "unknown":
                assert rows == (outcome == "done"), (name, outcome)
        witness.close()

    def _write(self, name: str, chance: random.Random) -> str:
        try:
            with self._db.write(chance.choice((0, 0, 1, 2, 1_000, 1_000, 1_000))) as tx:
                self._stand_alone(+1)
                try:
                    tx.run("things.add", name=name, note=None)
                    if chance.random() < 0.2:
                        with self._db.write() as inner:
                            inner.run("things.add", name=f"{name}-inner", note=None)
                    time.sleep(chance.choice((0.0, 0.0, 1e-4)))
                    if chance.random() < 0.2:
                        raise LookupError
                finally:
                    self._stand_alone(-1)
        except (Busy, LookupError):
            return "not done"
        except TicketsError:
            # Who would have synced the log for all was interrupted.
            return "unknown"
        return "done"

    def _stand_alone(self, by: int) -> None:
        me = threading.get_ident()
        assert self._at_turn == (None if by > 0 else me), "two have the turn"
        self._at_turn = me if by > 0 else None

    def keep_house(self) -> None:
        for _ in range(20):
            self._db.tend()
            with self._db.read() as tx, pytest.raises(RuntimeError), self._db.write():
                tx.value("things.count")
            with self._db.exclusive():
                self._stand_alone(+1)
                self._stand_alone(-1)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_lost_at_the_gate_or_told_too_early(
    seed: int, db: SqliteDatabase, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = Writers(db, Interrupts(monkeypatch), seed)

    threads = [
        start(partial(writers.write_much, number, has_floor=number % 4 > 0))
        for number in range(10)
    ]
    threads.append(start(writers.keep_house))
    for thread in threads:
        thread.result()

    assert_free(FLOOR)
    gate = db._process.gate
    assert gate._batch is None
    assert not gate._line._taken
    assert not gate._line._places
    with db.write(0) as tx:
        tx.run("things.add", name="last", note=None)
    with db.read() as tx:
        found = {row["name"] for row in tx.many("things.names")}
    assert writers.told["done"] <= found
    assert not writers.told["not done"] & found
    assert all(writers.told.values())
