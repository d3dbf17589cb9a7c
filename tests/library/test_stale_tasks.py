"""Tasks that went quiet: who is listed, and what a watchdog writes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.library.conftest import Told
from tickets.sqlite_task_ledger import Ledger, LedgerError, SweepReport, rules

HOUR_MS = 3_600_000


def names(found: Any) -> list[str]:
    return [each.req for each in found]


# L-23
def test_L23_a_task_is_stale_at_its_threshold_and_not_before(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING")
    tell.goes("QUEUED", "RUNNING", "COMPLETED", req="ended")
    tell.clock.now_ms += 299_999
    assert tell.ledger.find_stale() == []

    tell.clock.now_ms += 1
    (found,) = tell.ledger.find_stale()

    assert (found.req, found.age_ms, found.threshold_ms, found.overdue_ms) == (
        "r",
        300_000,
        300_000,
        0,
    )
    tell("RUNNING")
    tell.clock.now_ms += 299_999
    assert tell.ledger.find_stale() == []
    assert names(tell.ledger.find_stale(now_ms=tell.clock.now_ms + 1)) == ["r"]


# L-24
def test_L24_a_threshold_replaces_that_of_its_state_only(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING", req="running")
    tell.clock.now_ms += 100
    tell.goes("QUEUED", req="queued")
    tell.goes("QUEUED", "RUNNING", req="later")
    tell.clock.now_ms += 900_000
    stale = tell.ledger.find_stale

    assert names(stale()) == ["running", "later", "queued"]
    assert names(stale({"running": 900_050})) == ["running", "queued"]
    assert names(stale({"RUNNING": 0})) == ["queued"]
    assert names(stale({"RUNNING": None, "QUEUED": 1})) == ["queued"]
    assert names(stale(states=["queued", "QUEUED"])) == ["queued"]
    assert names(stale(limit=1)) == ["running"]
    assert [each.overdue_ms for each in stale()] == [600_100, 600_000, 0]


def test_equally_overdue_tasks_come_in_alphabetical_order(tell: Told) -> None:
    for req in ("b", "a", "c"):
        tell.goes("QUEUED", req=req)
    tell.clock.now_ms += 900_000

    assert names(tell.ledger.find_stale()) == ["a", "b", "c"]
    assert names(tell.ledger.find_stale(limit=2)) == ["a", "b"]


def test_thresholds_can_be_those_of_the_ledger(tell: Told) -> None:
    tell.goes("QUEUED")
    with Ledger(tell.path, clock=tell.clock, thresholds={"queued": 10}) as other:
        tell.clock.now_ms += 10
        assert names(other.find_stale()) == ["r"]
        assert names(other.find_stale({"queued": 11})) == []
    for thresholds, code in (
        ({"FOO": 1}, "invalid_state"),
        ({"QUEUED": -1}, "invalid_request"),
    ):
        with pytest.raises(LedgerError) as caught:
            tell.ledger.find_stale(thresholds)
        assert caught.value.code == code


# L-25
def test_L25_a_stale_task_is_marked_once_and_may_come_back(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING")
    tell.clock.now_ms += 300_000
    reported = tell.ledger.sweep(mark=False)
    assert reported == SweepReport(checked=1, marked=0, timed_out=0, skipped=0, reqs=("r",))
    assert tell.ledger.current_state("r") == "RUNNING"

    assert tell.ledger.sweep() == SweepReport(1, 1, 0, 0, ("r",))
    tell.clock.now_ms += HOUR_MS
    assert tell.ledger.sweep() == SweepReport(0, 0, 0, 0, ())

    last = tell.ledger.list_events("r")[-1]
    assert (last.state, last.actor, last.event_id) == ("STALE", "watchdog", "watchdog:r:2")
    assert last.message == "no event for 300000 ms, threshold 300000 ms"
    assert tell("COMPLETED").previous_state == "STALE"


# L-25
def test_L25_a_heartbeat_between_look_and_write_wins(
    tell: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell.goes("QUEUED", "RUNNING", req="alive")
    tell.goes("QUEUED", "RUNNING", req="quiet")
    tell.clock.now_ms += 300_000
    real: Any = rules.mark

    def late(store: Any, overdue: Any, **rest: Any) -> bool:
        if overdue.snapshot.req == "alive":
            tell.ledger.touch("alive", "a", "s")
        marked: bool = real(store, overdue, **rest)
        return marked

    monkeypatch.setattr(rules, "mark", late)

    assert tell.ledger.sweep() == SweepReport(2, 1, 0, 1, ("quiet",))
    assert tell.ledger.current_state("alive") == "RUNNING"


# L-26
def test_L26_a_task_that_takes_too_long_ends_although_it_is_heard_of(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING", req="long")
    tell.goes("QUEUED", "BLOCKED", req="blocked")
    for _ in range(60):
        tell.clock.now_ms += 60_000
        tell("RUNNING", "long")
    assert tell.ledger.sweep(timeouts={"RUNNING": HOUR_MS + 1}) == SweepReport(0, 0, 0, 0)

    assert tell.ledger.sweep(timeouts={"running": HOUR_MS}) == SweepReport(
        1, 0, 1, 0, ("long",)
    )

    assert tell.ledger.current_state("long") == "TIMEOUT"
    tell.clock.now_ms += 100 * HOUR_MS
    assert tell.ledger.sweep().checked == 0
    assert names(tell.ledger.find_stale()) == ["blocked"]
    assert tell.ledger.sweep(timeouts={"waiting": 1}).timed_out == 1


def test_a_task_that_is_stale_and_too_long_ends(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING")
    tell.clock.now_ms += HOUR_MS

    report = tell.ledger.sweep(timeouts={"RUNNING": HOUR_MS}, actor="dog", limit=1)

    assert report == SweepReport(1, 0, 1, 0, ("r",))
    last = tell.ledger.list_events("r")[-1]
    assert (last.state, last.actor) == ("TIMEOUT", "dog")
    assert last.message == "RUNNING for 3600000 ms, timeout 3600000 ms"
