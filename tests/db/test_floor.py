from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tickets.floor import FLOOR, Floor, Seat

PATIENCE_S = 20.0


def is_free(floor: Floor) -> bool:
    return not floor._is_taken


@pytest.fixture
def taken(start: Callable[..., Any]) -> Iterator[Floor]:
    """A floor that another thread has."""
    floor = Floor()
    inside, leave = threading.Event(), threading.Event()

    def run() -> None:
        with floor:
            inside.set()
            assert leave.wait(PATIENCE_S)

    thread = start(run)
    assert inside.wait(PATIENCE_S)
    yield floor
    leave.set()
    thread.result()
    assert is_free(floor)


def test_one_thread_has_the_floor_and_leaves_it_while_it_waits() -> None:
    floor = Floor()

    with floor:
        assert not is_free(floor)
        with floor.away:
            assert is_free(floor)
        assert not is_free(floor)
    assert is_free(floor)


def test_who_has_waited_a_while_runs_without_it(start: Callable[..., Any]) -> None:
    floor = Floor()
    ran = threading.Event()

    def run() -> None:
        with floor:
            with floor.away:
                pass
            ran.set()

    with floor:
        thread = start(run)
        assert ran.wait(PATIENCE_S)
        thread.result()
        assert not is_free(floor)
    assert is_free(floor)


def test_a_wait_outside_of_a_request_leaves_nothing_behind() -> None:
    floor = Floor()

    with floor.away:
        assert is_free(floor)

    assert is_free(floor)


def test_who_is_called_gets_the_floor_with_the_call(
    start: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    floor = Floor()
    seats: list[Seat] = []
    went_on = threading.Event()

    def run() -> None:
        with floor:
            seats.append(floor.seat())
            assert seats[0].wait()
            assert floor.is_mine()
            went_on.set()

    thread = start(run)
    wait_until(lambda: bool(seats) and is_free(floor))
    seats[0].call()
    assert went_on.wait(PATIENCE_S)
    thread.result()
    assert is_free(floor)


def test_who_is_called_sleeps_on_while_somebody_else_has_the_floor(
    start: Callable[..., Any],
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickets.floor.PATIENCE_S", PATIENCE_S)
    floor = Floor()
    seats: dict[str, Seat] = {}
    order: list[str] = []

    def run(name: str) -> None:
        with floor:
            seats[name] = floor.seat()
            seats[name].wait()
            order.append(name)

    threads = [start(functools.partial(run, name)) for name in ("one", "two", "urgent")]
    wait_until(lambda: len(seats) == 3 and is_free(floor))
    with floor:
        seats["one"].call()
        seats["two"].call()
        seats["urgent"].call(first=True)
        assert order == []
    for thread in threads:
        thread.result()
    assert order == ["urgent", "one", "two"]
    assert is_free(floor)


def test_who_was_called_and_has_waited_a_while_runs_without_the_floor(
    start: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    floor = Floor()
    seats: list[Seat] = []

    def run() -> bool:
        with floor:
            seats.append(floor.seat())
            assert seats[0].wait()
            return floor.is_mine()

    thread = start(run)
    wait_until(lambda: bool(seats) and is_free(floor))
    with floor:
        seats[0].call()
        assert not thread.result()
    assert is_free(floor)


def test_a_call_that_comes_too_late_leaves_the_floor_alone() -> None:
    floor = Floor()

    with floor:
        seat = floor.seat()
        assert not seat.wait(0.001)
    seat.call()

    assert is_free(floor)


def test_a_call_in_the_instant_of_giving_up_brings_no_floor(taken: Floor) -> None:
    seat, mutex = Seat(taken, wants_floor=True), taken._mutex

    class Slow:
        """The mutex, with a call that comes just after the next time it was held."""

        def __init__(self) -> None:
            self.calls: list[Callable[[], None]] = [seat.call]

        def __enter__(self) -> None:
            mutex.acquire()

        def __exit__(self, *_: object) -> None:
            mutex.release()
            if self.calls:
                self.calls.pop()()

    taken._mutex = Slow()  # type: ignore[assignment]  # of which no more is used

    assert taken.take_place(seat, 0.0)
    assert not taken.is_mine()


def test_who_was_called_before_its_deadline_sleeps_on_behind_it(
    taken: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickets.floor.PATIENCE_S", 0.05)
    pauses: list[float] = []

    class Bell:
        def acquire(self, *, timeout: float) -> bool:
            pauses.append(timeout)
            return lock.acquire(timeout=timeout)

    seat = Seat(taken, wants_floor=True)
    lock, seat.bell = seat.bell, Bell()  # type: ignore[assignment]  # of which no more is used
    seat.call()

    assert taken.take_place(seat, 0.0)
    assert len(pauses) <= 4
    assert not taken._called


def test_who_is_interrupted_at_the_door_does_not_keep_the_floor() -> None:
    class Interrupted(Floor):
        def take_place(self, seat: Seat, timeout_s: float | None = None) -> bool:
            # By whoever had it, in the last instant.
            with self._mutex:
                self._called.popleft().ring()
            super().take_place(seat, timeout_s)
            raise KeyboardInterrupt

    floor = Interrupted()
    floor._is_taken = True

    with pytest.raises(KeyboardInterrupt), floor:
        pytest.fail("not entered")

    assert not floor.is_mine()
    assert is_free(floor)


def test_who_had_no_floor_is_called_at_once(start: Callable[..., Any]) -> None:
    floor = Floor()
    seat = floor.seat()
    thread = start(seat.wait)

    with floor:
        seat.call()
        assert thread.result()
        assert not is_free(floor)
    assert is_free(floor)


def test_an_error_gives_the_floor_away() -> None:
    floor = Floor()

    with pytest.raises(LookupError), floor, floor.away:
        raise LookupError

    assert is_free(floor)


def test_a_forked_process_starts_with_a_free_floor() -> None:
    with FLOOR:
        child = os.fork()
        if child == 0:
            os._exit(0 if is_free(FLOOR) else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
