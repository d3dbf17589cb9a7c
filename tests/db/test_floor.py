from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tickets.floor import FLOOR, Floor

PATIENCE_S = 20.0


def is_free(floor: Floor) -> bool:
    return not floor._lock.locked()


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
