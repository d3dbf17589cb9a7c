"""Deliveries: what is sent once, what is sent again, and what is held back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.library.conftest import NOW_MS, Told
from tickets.sqlite_task_ledger import Decision, InvalidEventError, InvalidStateError, Ledger

CALLS = 50


@pytest.fixture
def reasons(tell: Told) -> Any:
    """Ask at a moment after the start; return allowed, reason and how long to wait."""

    def ask(at_ms: int, key: str = "k", channel: str = "c", **fields: Any) -> tuple[Any, ...]:
        tell.clock.now_ms = NOW_MS + at_ms
        decision = tell.ledger.try_deliver(channel, key, **fields)
        return decision.allowed, decision.reason, decision.retry_after_ms

    return ask


# L-16
def test_L16_of_many_identical_calls_one_is_let_through(tell: Told) -> None:
    start = threading.Barrier(CALLS)
    found: list[Decision] = []

    def ask() -> None:
        with Ledger(tell.path, clock=tell.clock) as own:
            start.wait()
            found.append(own.try_deliver("c", req="r", state="FAILED"))

    threads = [threading.Thread(target=ask) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.reason for each in found) == ["duplicate"] * (CALLS - 1) + ["first"]
    (row,) = tell.ledger.list_deliveries()
    assert (row.suppressed_count, row.dedupe_key) == (CALLS - 1, "r:FAILED:")
    assert row.last_suppressed_at_ms == NOW_MS


# L-17
def test_L17_a_cooldown_ends_to_the_millisecond(reasons: Any) -> None:
    assert reasons(0, cooldown_ms=1000) == (True, "first", None)
    assert reasons(999, cooldown_ms=1000) == (False, "cooldown", 1)
    assert reasons(1000, cooldown_ms=1000) == (True, "cooldown_elapsed", None)
    assert reasons(1500, cooldown_ms=500) == (True, "cooldown_elapsed", None)


# L-18
def test_L18_what_is_held_back_does_not_extend_the_window(reasons: Any) -> None:
    reasons(0, cooldown_ms=1000)
    assert reasons(500, cooldown_ms=1000) == (False, "cooldown", 500)
    assert reasons(900, cooldown_ms=1000) == (False, "cooldown", 100)

    assert reasons(1000, cooldown_ms=1000) == (True, "cooldown_elapsed", None)


# L-19
def test_L19_no_cooldown_another_channel_and_another_key_are_free(reasons: Any) -> None:
    reasons(0)
    assert reasons(0, cooldown_ms=0) == (True, "no_cooldown", None)
    assert reasons(0, cooldown_ms=0) == (True, "no_cooldown", None)
    assert reasons(0, channel="d") == (True, "first", None)
    assert reasons(0, key="l") == (True, "first", None)
    assert reasons(10**9) == (False, "duplicate", None)


# L-20
def test_L20_a_req_has_a_cooldown_of_its_own_but_for_its_end(reasons: Any) -> None:
    reasons(0, key="a", req="r")
    fields: dict[str, Any] = {"req": "r", "req_cooldown_ms": 60_000}

    assert reasons(1000, key="b", **fields) == (False, "req_cooldown", 59_000)
    assert reasons(1000, key="d", req="other", req_cooldown_ms=60_000)[0]
    assert reasons(1000, key="c", state="error", **fields) == (True, "first", None)
    assert reasons(1000, key="c", state="error", **fields) == (False, "duplicate", None)
    # Counted from the newest message, which the one about the end was.
    assert reasons(60_999, key="b", **fields) == (False, "req_cooldown", 1)
    assert reasons(61_000, key="b", **fields) == (True, "first", None)


# L-21
def test_L21_a_failed_delivery_and_a_dry_run_count_for_nothing(tell: Told) -> None:
    ledger = tell.ledger
    dry = ledger.try_deliver("c", "k", dry_run=True)
    assert (dry.allowed, dry.reason, dry.delivery_id) == (True, "first", None)
    assert ledger.list_deliveries() == []
    first = ledger.try_deliver("c", "k", cooldown_ms=5)
    assert first.delivery_id is not None
    held = ledger.try_deliver("c", "k", dry_run=True)
    assert (held.reason, held.suppressed_count) == ("duplicate", 1)
    assert ledger.list_deliveries()[0].suppressed_count == 0

    assert ledger.mark_delivery_failed(first.delivery_id)
    assert ledger.mark_delivery_failed(first.delivery_id)
    again = ledger.try_deliver("c", "k")

    assert (again.allowed, again.reason) == (True, "first")
    assert not ledger.mark_delivery_failed(999)
    assert [(each.id, each.status) for each in ledger.list_deliveries()] == [
        (first.delivery_id, "failed"),
        (again.delivery_id, "recorded"),
    ]


def test_a_failed_delivery_uncovers_the_one_before_it(tell: Told) -> None:
    ask = tell.ledger.try_deliver
    ask("c", "k")
    tell.clock.now_ms += 100
    second = ask("c", "k", cooldown_ms=100)
    assert second.delivery_id is not None
    tell.ledger.mark_delivery_failed(second.delivery_id)
    tell.clock.now_ms += 1

    decision = ask("c", "k", cooldown_ms=102)

    assert (decision.reason, decision.retry_after_ms) == ("cooldown", 1)
    assert decision.last_delivered_at_ms == NOW_MS


# L-22
def test_L22_a_clock_that_jumps_back_lets_nothing_through_early(reasons: Any) -> None:
    reasons(0, cooldown_ms=1000)

    assert reasons(-5000, cooldown_ms=1000) == (False, "cooldown", 1000)


def test_a_changed_payload_is_told_and_decides_nothing(tell: Told) -> None:
    ask = tell.ledger.try_deliver
    assert not ask("c", "k", payload_hash="A" * 64).payload_changed
    assert not ask("c", "k", payload_hash="a" * 64).payload_changed
    changed = ask("c", "k", payload_hash="b" * 64)
    assert (changed.allowed, changed.payload_changed) == (False, True)
    assert not ask("c", "k").payload_changed


def test_purged_keys_count_as_never_sent(tell: Told) -> None:
    ask, ledger = tell.ledger.try_deliver, tell.ledger
    ask("c", "k")
    ask("d", "k")
    tell.clock.now_ms += 1
    ask("c", "young", req="r")

    assert ledger.purge_deliveries(tell.clock.now_ms, channel="c") == 1
    assert ask("c", "k").reason == "first"
    assert ask("d", "k").reason == "duplicate"
    assert [each.dedupe_key for each in ledger.list_deliveries(req="r")] == ["young"]
    assert ledger.purge_deliveries(tell.clock.now_ms + 1) == 3
    last = ask("c", "k").delivery_id
    assert last == 5, "an id is not used again"
    assert ledger.list_deliveries(channel="c", after_id=4)[0].id == last


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": ""},
        {"dedupe_key": None},
        {"dedupe_key": None, "req": "r"},
        {"cooldown_ms": -1},
        {"req_cooldown_ms": -1},
        {"cooldown_ms": True},
        {"payload_hash": "abc"},
        {"req": " "},
    ],
)
def test_a_message_that_cannot_be_judged_is_refused(tell: Told, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError):
        tell.ledger.try_deliver(**{"channel": "c", "dedupe_key": "k", **fields})
    with pytest.raises(InvalidStateError):
        tell.ledger.try_deliver("c", "k", state="FOO")
