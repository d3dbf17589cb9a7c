"""The rules of the ledger over HTTP and in the service's own transactions.

The same lines are met by the library in tests/library; here they run on both databases.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json
from tests.library.test_events import STATES, TABLE, WAY_TO
from tests.telling import Told, ask
from tests.worlds import World, refusal
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.ledger.domain.facts import Fact
from tickets.ledger.operations.feed import LedgerFeed


@pytest.fixture
def tell(client: Client) -> Told:
    return Told(client)


def test_L01_the_example_runs_as_it_is_printed(client: Client, tell: Told) -> None:
    example: Json = {"actor": "worker-1", "source": "demo", "req": "task_001"}

    tell("RECEIVED", **example)
    tell("RUNNING", **example, stage="collecting inputs")

    task = tell.task("task_001")
    assert (task["state"], task["stage"]) == ("RUNNING", "collecting inputs")
    assert task["event_count"] == 2
    assert tell.states("task_001") == ["RECEIVED", "RUNNING"]


def test_L02_a_schema_can_be_applied_again(db: Database, tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING")
    before = tell.task("r")

    assert migrate(db, sql_root(), EPOCH_MS) == []

    assert tell.task("r") == before
    assert tell.states("r") == ["QUEUED", "RUNNING"]


@pytest.mark.parametrize("previous", TABLE)
def test_L04_exactly_the_marked_transitions_are_taken(tell: Told, previous: str | None) -> None:
    marked = [state for state, mark in zip(STATES, TABLE[previous], strict=True) if mark == "y"]
    for state in STATES:
        tell.goes(*WAY_TO[previous], req=state)
        way = [*WAY_TO[previous]]
        if state in marked:
            assert tell(state, state)["previous_state"] == previous
            assert tell.states(state) == [*way, state]
            continue
        tell(state, state, status=409)
        if previous is not None:
            assert tell.states(state) == way
            assert sorted(tell.task(state)["allowed_next"]) == sorted(marked)


def test_L11_the_stage_stays_and_the_message_does_not(tell: Told, clock: FrozenClock) -> None:
    tell("QUEUED", stage="one", message="m", data={"a": 1})
    tell("RUNNING")

    task = tell.task("r")
    assert (task["stage"], task["message"], task["data"]) == ("one", None, {"a": 1})
    tell("COMPLETED", message="done", data=0)
    task = tell.task("r")
    assert (task["stage"], task["message"], task["data"]) == ("one", "done", 0)
    assert task["terminal_at_ms"] == clock.now_ms()


def test_L12_attempts_are_entries_into_running(tell: Told, clock: FrozenClock) -> None:
    for state in ("RECEIVED", "RUNNING", "BLOCKED", "RUNNING", "RETRYING", "RUNNING"):
        clock.advance(ms=1)
        tell(state)

    task = tell.task("r")

    assert (task["attempts"], task["state_entered_at_ms"]) == (2, clock.now_ms())
    assert task["first_event_at_ms"] == clock.now_ms() - 5


def test_L13_a_state_is_entered_once(tell: Told, clock: FrozenClock) -> None:
    tell.goes("QUEUED", "RUNNING")
    entered_at_ms = clock.now_ms()
    for _ in range(2):
        clock.advance(ms=10)
        tell("RUNNING")

    task = tell.task("r")

    assert task["state_entered_at_ms"] == entered_at_ms
    assert task["last_event_at_ms"] == entered_at_ms + 20
    assert (task["event_count"], task["attempts"], task["terminal_at_ms"]) == (4, 1, None)


class Asking:
    """Asks about one message at some moments after the first."""

    def __init__(self, client: Client, clock: FrozenClock) -> None:
        self._client = client
        self._clock = clock

    def __call__(self, after_ms: int, **fields: Any) -> tuple[str, int | None]:
        self._clock.advance(ms=EPOCH_MS + after_ms - self._clock.now_ms())
        status = fields.pop("status", 201)
        answer = ask(self._client, status, **{"dedupe_key": "k", **fields})
        return answer["reason"], answer["retry_after_ms"]


@pytest.fixture
def asked(client: Client, clock: FrozenClock) -> Asking:
    return Asking(client, clock)


def test_L18_what_is_held_back_does_not_extend_the_window(asked: Asking) -> None:
    asked(0, cooldown_ms=1000)
    assert asked(500, cooldown_ms=1000, status=200) == ("cooldown", 500)
    assert asked(900, cooldown_ms=1000, status=200) == ("cooldown", 100)

    assert asked(1000, cooldown_ms=1000) == ("cooldown_elapsed", None)


def test_L19_no_cooldown_another_channel_and_another_key_are_free(asked: Asking) -> None:
    asked(0)
    assert asked(0, cooldown_ms=0) == ("no_cooldown", None)
    assert asked(0, cooldown_ms=0) == ("no_cooldown", None)

    assert asked(0, channel="d") == ("first", None)
    assert asked(0, dedupe_key="l") == ("first", None)
    assert asked(10**9, status=200) == ("duplicate", None)


def test_L22_a_clock_that_jumps_back_lets_nothing_through_early(asked: Asking) -> None:
    asked(0, cooldown_ms=1000)

    assert asked(-5000, cooldown_ms=1000, status=200) == ("cooldown", 1000)


def test_L27_the_callers_time_decides_nothing(
    client: Client, tell: Told, clock: FrozenClock
) -> None:
    tell("QUEUED", "late", ts_ms=EPOCH_MS + 10**9)
    tell("QUEUED", "early", ts_ms=5)
    clock.advance(ms=900_000)

    events = client.get("/ledger/events", status=200).json["items"]
    stale = client.get("/ledger/stale", status=200).json["items"]

    assert [each["req"] for each in events] == ["late", "early"]
    assert [each["ts_ms"] for each in events] == [EPOCH_MS + 10**9, 5]
    assert [each["age_ms"] for each in stale] == [900_000, 900_000]


@pytest.mark.refusals
def test_L28_a_refused_event_does_not_abort_the_transaction_around_it(
    world: World, make: Factory, tell: Told, client: Client, clock: FrozenClock
) -> None:
    feed, ended = LedgerFeed(), "system:x"
    with world.db.write() as tx:
        for state in ("RECEIVED", "FAILED"):
            feed.record(tx, Fact(ended, state, clock.now_ms(), "s"))

    with world.db.write() as tx:
        task_id = world.task(world.pipeline())
        # Once by the rules alone, and once by the database itself.
        feed.record(tx, Fact(ended, "RUNNING", clock.now_ms(), "s"))
        feed.follow(tx, None, Fact(ended, "RECEIVED", clock.now_ms(), "s"))

    assert client.get(f"/tasks/{task_id}", status=200).json["stage"] == "todo"
    assert tell.states(f"task:{task_id}") == ["RECEIVED"]
    assert tell.states(ended) == ["RECEIVED", "FAILED"]
    make.claim()
    assert tell.states(f"task:{task_id}") == ["RECEIVED", "RUNNING"]


def test_L28_of_a_transaction_that_rolls_back_nothing_remains(
    world: World, tell: Told, client: Client
) -> None:
    pipeline_id = world.pipeline()
    known = world.task(pipeline_id)
    before = tell.task(f"task:{known}")

    def undone() -> None:
        with world.db.write():
            world.claim()
            world.task(pipeline_id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undone()

    assert tell.task(f"task:{known}") == before
    events = client.get("/ledger/events", status=200).json["items"]
    assert [each["req"] for each in events] == [f"task:{known}"]
    assert client.get("/ledger/verify").json == {"ok": True, "differing": []}
    assert refusal(world.claim) is None
