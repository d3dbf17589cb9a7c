"""The snapshot: what it keeps of the events, and that it can be made anew."""

from __future__ import annotations

import random
import sqlite3

import pytest

from tests.drills import seed
from tests.library.conftest import Told
from tickets.sqlite_task_ledger import DEFAULT_MACHINE

SEED = seed(11)


# L-11
def test_L11_the_stage_stays_and_the_message_does_not(tell: Told) -> None:
    tell("QUEUED", stage="one", message="m", data={"a": 1})
    snapshot = tell("RUNNING").snapshot

    assert (snapshot.stage, snapshot.message, snapshot.data) == ("one", None, {"a": 1})
    ended = tell("COMPLETED", message="done", data=0).snapshot
    assert (ended.stage, ended.message, ended.data) == ("one", "done", 0)
    assert ended.terminal_at_ms == tell.clock.now_ms


# L-12
def test_L12_attempts_are_entries_into_running(tell: Told) -> None:
    for state in ("RECEIVED", "RUNNING", "BLOCKED", "RUNNING", "RETRYING", "RUNNING"):
        tell.clock.now_ms += 1
        tell(state)

    snapshot = tell.ledger.get_snapshot("r")

    assert snapshot is not None
    assert (snapshot.attempts, snapshot.state_entered_at_ms) == (2, tell.clock.now_ms)
    assert snapshot.first_event_at_ms == tell.clock.now_ms - 5


# L-13
def test_L13_a_state_is_entered_once(tell: Told) -> None:
    tell("QUEUED")
    tell("RUNNING")
    entered_at_ms = tell.clock.now_ms
    tell.clock.now_ms += 10
    tell("RUNNING")
    tell.clock.now_ms += 10
    snapshot = tell("RUNNING").snapshot

    assert snapshot.state_entered_at_ms == entered_at_ms
    assert snapshot.last_event_at_ms == entered_at_ms + 20
    assert (snapshot.event_count, snapshot.attempts, snapshot.terminal_at_ms) == (4, 1, None)


def random_log(tell: Told, events: int, reqs: int) -> None:
    """Write random legal events, all in one transaction."""
    chance = random.Random(SEED)
    connection = sqlite3.connect(tell.path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        told = Told(
            type(tell.ledger).from_connection(connection, clock=tell.clock),
            tell.clock,
            tell.path,
        )
        states: dict[str, str | None] = {}
        while events:
            req = f"r{chance.randrange(reqs)}"
            allowed = DEFAULT_MACHINE.successors(states.get(req))
            # Ends are kept for later, or all would end at once.
            going_on = [each for each in allowed if each not in DEFAULT_MACHINE.terminal]
            if not allowed:
                continue
            state = chance.choice(allowed if chance.random() < 0.05 else going_on)
            tell.clock.now_ms += chance.randrange(3)
            told(
                state,
                req,
                stage=chance.choice([None, "a", "b"]),
                message=chance.choice([None, "m"]),
                data=chance.choice([None, {"n": events}]),
                scope=None,
            )
            states[req] = state
            events -= 1
        connection.execute("COMMIT")
    finally:
        connection.close()


def table(tell: Told) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(tell.path)
    try:
        rows: list[tuple[object, ...]] = connection.execute(
            "SELECT * FROM task_state_snapshot ORDER BY req"
        ).fetchall()
        return rows
    finally:
        connection.close()


def damage(tell: Told, sql: str) -> None:
    connection = sqlite3.connect(tell.path)
    try:
        with connection:
            assert connection.execute(sql).rowcount == 1
    finally:
        connection.close()


# L-14
def test_L14_a_rebuilt_snapshot_is_the_one_that_was_kept(tell: Told) -> None:
    random_log(tell, 10_000, 500)
    kept = table(tell)

    assert tell.ledger.verify_snapshot() == []
    report = tell.ledger.rebuild_snapshot()

    assert (report.tasks, report.events) == (500, 10_000), f"seed {SEED}"
    assert (report.changed, report.missing, report.extra) == (0, 0, 0)
    assert table(tell) == kept
    for req in ("r0", "r250", "r499"):
        damage(
            tell, f"UPDATE task_state_snapshot SET attempts = attempts + 1 WHERE req = '{req}'"
        )
        assert tell.ledger.verify_snapshot() == [req]
        assert tell.ledger.rebuild_snapshot().changed == 1
        assert table(tell) == kept
    damage(tell, "DELETE FROM task_state_snapshot WHERE req = 'r7'")
    damage(tell, "UPDATE task_state_snapshot SET req = 'zzz' WHERE req = 'r8'")
    assert tell.ledger.verify_snapshot() == ["r7", "r8", "zzz"]
    report = tell.ledger.rebuild_snapshot()
    assert (report.changed, report.missing, report.extra) == (0, 2, 1)
    assert table(tell) == kept


@pytest.mark.parametrize("column", ["state", "scope", "stage", "message", "data_json", "actor"])
def test_a_difference_in_any_column_is_found(tell: Told, column: str) -> None:
    tell("QUEUED", "a")
    tell("QUEUED", "b")
    damage(tell, f"UPDATE task_state_snapshot SET {column} = 'x' WHERE req = 'b'")

    assert tell.ledger.verify_snapshot() == ["b"]


def test_the_fold_takes_what_another_machine_has_written(tell: Told) -> None:
    damage(
        tell,
        "INSERT INTO task_events (req, n, state, is_terminal, actor, source, recorded_at_ms)"
        " VALUES ('odd', 1, 'WHATEVER', 0, 'a', 's', 5)",
    )

    assert tell.ledger.verify_snapshot() == ["odd"]
    assert tell.ledger.rebuild_snapshot().missing == 1
    assert tell.ledger.current_state("odd") == "WHATEVER"
