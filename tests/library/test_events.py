"""Events: which are taken, what is stored of them, and that they stay."""

from __future__ import annotations

import itertools
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.library.conftest import NOW_MS, Told, event
from tickets.sqlite_task_ledger import (
    DEFAULT_MACHINE,
    EventConflictError,
    InvalidEventError,
    InvalidStateError,
    InvalidTransitionError,
    Ledger,
    LedgerError,
    StateMachine,
    StateMismatchError,
    StatusEvent,
    TerminalStateError,
    UnknownTaskError,
)

# The table of the contract: a row for each state before, a column for each state after.
STATES = (
    "RECEIVED", "QUEUED", "RUNNING", "BLOCKED", "RETRYING", "STALE",
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT",
)  # fmt: skip
TABLE = {
    None: "yy........",
    "RECEIVED": "yyyy.y.yyy",
    "QUEUED": ".yyyyy.yyy",
    "RUNNING": ".yyyyyyyyy",
    "BLOCKED": ".yyy...yyy",
    "RETRYING": ".yyyyy.yyy",
    "STALE": ".yyyyyyyyy",
    "COMPLETED": "..........",
    "FAILED": "..........",
    "CANCELLED": "..........",
    "TIMEOUT": "..........",
}
WAY_TO: dict[str | None, tuple[str, ...]] = {
    None: (),
    "RECEIVED": ("RECEIVED",),
    "QUEUED": ("QUEUED",),
    "RUNNING": ("QUEUED", "RUNNING"),
    "BLOCKED": ("QUEUED", "BLOCKED"),
    "RETRYING": ("QUEUED", "RETRYING"),
    "STALE": ("QUEUED", "STALE"),
    "COMPLETED": ("QUEUED", "RUNNING", "COMPLETED"),
    "FAILED": ("QUEUED", "FAILED"),
    "CANCELLED": ("QUEUED", "CANCELLED"),
    "TIMEOUT": ("QUEUED", "TIMEOUT"),
}
COLUMNS = (
    "task_events (seq, req, n, state, is_terminal, event_id, actor, source, recorded_at_ms)"
)
REST = "'a', 's', 1)"
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
RACES = 200


def refusal(act: Callable[..., object], *args: Any, **kwargs: Any) -> str | None:
    try:
        act(*args, **kwargs)
    except LedgerError as error:
        return error.code
    return None


# L-03
@pytest.mark.parametrize("state", STATES)
def test_L03_only_received_and_queued_come_first(tell: Told, state: str) -> None:
    expected = None if state in ("RECEIVED", "QUEUED") else "invalid_transition"

    assert refusal(tell, state) == expected

    assert tell.ledger.current_state("r") == (state if expected is None else None)


# L-04
@pytest.mark.parametrize("previous", TABLE)
def test_L04_exactly_the_marked_transitions_are_taken(tell: Told, previous: str | None) -> None:
    for number, state in enumerate(STATES):
        req = f"r{number}"
        tell.goes(*WAY_TO[previous], req=req)
        before = len(tell.ledger.list_events(req))

        taken = refusal(tell, state, req) is None

        assert taken == (TABLE[previous][number] == "y"), (previous, state)
        assert len(tell.ledger.list_events(req)) == before + taken
        allowed = [
            each for each, mark in zip(STATES, TABLE[previous], strict=True) if mark == "y"
        ]
        if not taken:
            assert sorted(tell.ledger.allowed_next(req)) == sorted(allowed)


# L-05
@pytest.mark.parametrize("end", ENDS)
def test_L05_nothing_follows_an_end(tell: Told, end: str) -> None:
    tell.goes(*WAY_TO[end])
    count = len(tell.ledger.list_events("r"))

    for state in STATES:
        with pytest.raises(TerminalStateError) as caught:
            tell(state)
        assert (caught.value.code, caught.value.terminal_state) == ("already_terminal", end)

    assert refusal(tell.ledger.touch, "r", "a", "s") == "already_terminal"
    assert len(tell.ledger.list_events("r")) == count
    assert tell.ledger.allowed_next("r") == []


# L-06
def test_L06_of_two_threads_that_end_a_task_one_wins(tell: Told) -> None:
    reqs = [f"r{number}" for number in range(RACES)]
    for req in reqs:
        tell.goes("QUEUED", "RUNNING", req=req)
    start = threading.Barrier(2)
    won: dict[str, list[str]] = {"COMPLETED": [], "FAILED": []}

    def end(state: str) -> None:
        with Ledger(tell.path) as own:
            for req in reqs:
                start.wait()
                if refusal(own.write_event, event(state, req)) is None:
                    won[state].append(req)

    threads = [threading.Thread(target=end, args=(state,)) for state in won]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won["COMPLETED"] + won["FAILED"]) == sorted(reqs)
    for state, reqs in won.items():
        assert all(tell.ledger.current_state(req) == state for req in reqs)


def _end_all(path: Path, state: str, start: Any, won: Any) -> None:
    with Ledger(path) as own:
        for number in range(RACES):
            start.wait()
            if refusal(own.write_event, event(state, f"r{number}")) is None:
                won.put((f"r{number}", state))


# L-06
def test_L06_of_two_processes_that_end_a_task_one_wins(tell: Told) -> None:
    for number in range(RACES):
        tell.goes("QUEUED", "RUNNING", req=f"r{number}")
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(2, timeout=60), context.Queue()
    processes = [
        context.Process(target=_end_all, args=(tell.path, state, start, won))
        for state in ("COMPLETED", "FAILED")
    ]
    for process in processes:
        process.start()
    outcomes = dict(won.get(timeout=60) for _ in range(RACES))
    for process in processes:
        process.join()

    assert won.empty()
    assert outcomes == {
        f"r{number}": tell.ledger.current_state(f"r{number}") for number in range(RACES)
    }


# L-07
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE task_events SET message = 'other'",
        "DELETE FROM task_events",
        f"INSERT INTO {COLUMNS} VALUES (NULL, 'r', 4, 'FAILED', 1, NULL, {REST}",
        f"INSERT INTO {COLUMNS} VALUES (NULL, 'r', 4, 'RUNNING', 0, NULL, {REST}",
        f"REPLACE INTO {COLUMNS} VALUES (1, 'other', 1, 'RUNNING', 0, NULL, {REST}",
        f"REPLACE INTO {COLUMNS} VALUES (NULL, 'open', 1, 'QUEUED', 0, NULL, {REST}",
        f"REPLACE INTO {COLUMNS} VALUES (NULL, 'third', 1, 'QUEUED', 0, 'e', {REST}",
    ],
)
def test_L07_the_log_cannot_be_changed_by_sql(tell: Told, sql: str) -> None:
    tell.goes("QUEUED", "RUNNING", "COMPLETED")
    tell("QUEUED", "open", event_id="e")
    before = tell.ledger.list_events()

    other = sqlite3.connect(tell.path)
    try:
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(sql)
    finally:
        other.close()

    assert tell.ledger.list_events() == before


def test_the_index_alone_lets_a_req_end_once(tell: Told) -> None:
    tell.goes("QUEUED", "FAILED")
    other = sqlite3.connect(tell.path)
    try:
        other.execute("DROP TRIGGER trg_task_events_no_more")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            other.execute(
                "INSERT INTO task_events (req, n, state, is_terminal, actor, source,"
                " recorded_at_ms) VALUES ('r', 3, 'FAILED', 1, 'a', 's', 1)"
            )
    finally:
        other.close()


# L-08
def test_L08_an_event_id_is_stored_once(tell: Told) -> None:
    fields: dict[str, Any] = {"event_id": "e", "stage": "x", "data": {"b": 1, "a": [2]}}
    first = tell("QUEUED", **fields)
    tell("RUNNING")
    again = tell("queued", **{**fields, "data": {"a": [2], "b": 1}}, ts_ms=7)
    tell("COMPLETED")
    after_end = tell("QUEUED", **fields)

    assert (first.duplicate, again.duplicate, after_end.duplicate) == (False, True, True)
    assert first.seq == again.seq == after_end.seq
    assert again.snapshot.state == "RUNNING"
    assert len(tell.ledger.list_events()) == 3
    others: list[dict[str, Any]] = [
        {"stage": "y"},
        {"data": {}},
        {"message": "m"},
        {"scope": "w"},
    ]
    for other in others:
        with pytest.raises(EventConflictError) as caught:
            tell("QUEUED", **{**fields, **other})
        assert caught.value.code == "event_id_conflict"
    assert refusal(tell, "QUEUED", "other", **fields) == "event_id_conflict"


def test_a_repeated_event_may_leave_out_the_scope_that_it_took_over(tell: Told) -> None:
    tell("QUEUED", scope="w")
    first = tell("RUNNING", event_id="e")

    assert tell("RUNNING", event_id="e").seq == first.seq
    assert refusal(tell, "RUNNING", scope="other") == "invalid_request"
    assert {each.scope for each in tell.ledger.list_events()} == {"w"}


# L-09
def test_L09_an_expected_state_is_checked(tell: Told) -> None:
    assert tell("QUEUED", expected_state="NONE").n == 1
    tell("BLOCKED")

    with pytest.raises(StateMismatchError) as caught:
        tell("RUNNING", expected_state="RUNNING")

    assert caught.value.code == "state_mismatch"
    assert refusal(tell, "QUEUED", expected_state="NONE") == "state_mismatch"
    assert refusal(tell, "QUEUED", "new", expected_state="QUEUED") == "state_mismatch"
    assert tell("RUNNING", expected_state="waiting").n == 3


def test_what_is_expected_is_checked_before_the_end_and_the_end_before_the_edge(
    tell: Told,
) -> None:
    tell.goes("QUEUED", "FAILED")

    assert refusal(tell, "RECEIVED", expected_state="QUEUED") == "state_mismatch"
    assert refusal(tell, "RECEIVED", expected_state="error") == "already_terminal"


# L-10
def test_L10_states_are_understood_in_other_words(tell: Told) -> None:
    tell.goes("received", "Running", req="a")
    tell("done", "a")
    tell("QUEUED", "b")
    tell("canceled", "b")

    assert [each.state for each in tell.ledger.list_events("a")] == [
        "RECEIVED",
        "RUNNING",
        "COMPLETED",
    ]
    assert tell.ledger.current_state("b") == "CANCELLED"
    with pytest.raises(InvalidStateError) as caught:
        tell("FOO", "c")
    assert caught.value.code == "invalid_state"
    words = ["succeeded", "SUCCESS", "Error", "timed_out", "waiting"]
    assert [DEFAULT_MACHINE.canonical(word) for word in words] == [
        "COMPLETED", "COMPLETED", "FAILED", "TIMEOUT", "BLOCKED",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"req": ""},
        {"req": " r"},
        {"req": "a\nb"},
        {"req": "r" * 201},
        {"state": ""},
        {"state": None},
        {"actor": ""},
        {"actor": "a" * 201},
        {"source": 7},
        {"source": "a\0b"},
        {"stage": "s" * 201},
        {"stage": ""},
        {"message": "m" * 4001},
        {"message": "\ud800"},
        {"data": {1, 2}},
        {"data": float("nan")},
        {"data": "x" * 65_536},
        {"data": "\ud800"},
        {"event_id": "e" * 301},
        {"ts_ms": True},
        {"ts_ms": 1.5},
        {"ts_ms": 2**63},
        {"scope": ""},
    ],
)
def test_an_event_that_cannot_be_stored_is_not_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError) as caught:
        StatusEvent(**{"state": "QUEUED", "actor": "a", "source": "s", "req": "r", **fields})

    assert (caught.value.code, caught.value.field) == ("invalid_request", next(iter(fields)))


def test_what_is_just_within_bounds_is_stored(tell: Told) -> None:
    req, text = "é" * 200, "日" * 200
    result = tell(
        "QUEUED",
        req,
        stage=text,
        message="m" * 4000,
        data="x" * 65_534,
        event_id="e" * 300,
        ts_ms=-(2**63),
        scope=text,
    )

    assert tell.ledger.get_snapshot(req) == result.snapshot
    (stored,) = tell.ledger.list_events(req)
    assert (stored.data, stored.ts_ms) == ("x" * 65_534, -(2**63))


# L-15
def test_L15_of_several_events_all_are_stored_or_none(tell: Told) -> None:
    good = [event("QUEUED", f"r{number}") for number in range(5)]

    with pytest.raises(InvalidTransitionError) as caught:
        tell.ledger.write_events([*good[:3], event("COMPLETED", "r0"), *good[3:]])

    assert (caught.value.index, caught.value.previous, caught.value.state) == (
        3,
        "QUEUED",
        "COMPLETED",
    )
    assert tell.ledger.list_events() == []
    assert [each.n for each in tell.ledger.write_events([*good, *good])] == [1] * 5 + [2] * 5
    too_many = [event("QUEUED")] * 1001
    assert refusal(tell.ledger.write_events, too_many) == "invalid_request"


def test_touch_reports_whatever_state_it_is(tell: Told) -> None:
    assert refusal(tell.ledger.touch, "r", "a", "s") == "task_not_found"
    tell.goes("QUEUED", "BLOCKED")

    result = tell.ledger.touch("r", "b", "t", stage="x", message="m")

    assert (result.state, result.n, result.snapshot.actor) == ("BLOCKED", 3, "b")
    with pytest.raises(UnknownTaskError):
        tell.ledger.touch("other", "a", "s")


# L-27
def test_L27_the_callers_time_decides_nothing(tell: Told) -> None:
    tell("QUEUED", "late", ts_ms=NOW_MS + 10**9)
    tell("QUEUED", "early", ts_ms=5)
    tell.clock.now_ms += 900_000

    assert [each.req for each in tell.ledger.list_events()] == ["late", "early"]
    assert [each.age_ms for each in tell.ledger.find_stale()] == [900_000, 900_000]
    assert [each.ts_ms for each in tell.ledger.list_events()] == [NOW_MS + 10**9, 5]


# L-34
def test_L34_pages_miss_nothing_while_events_arrive(tell: Told) -> None:
    for number in range(5):
        tell("QUEUED", f"r{number}")
    seen: list[int] = []
    while page := tell.ledger.list_events(after_seq=seen[-1] if seen else 0, limit=2):
        seen += [each.seq for each in page]
        if len(seen) < 6:
            tell("QUEUED", f"r{len(seen)}-new")

    assert seen == [each.seq for each in tell.ledger.list_events(limit=1000)]
    assert len(seen) > 5


def test_tasks_are_listed_by_what_they_are(tell: Told) -> None:
    tell.goes("QUEUED", "RUNNING", req="a1")
    tell.goes("QUEUED", "FAILED", req="a2")
    tell.goes("QUEUED", req="b%")
    listed = tell.ledger.list_tasks

    assert [each.req for each in listed()] == ["a1", "a2", "b%"]
    assert [each.req for each in listed(state="running")] == ["a1"]
    assert [each.req for each in listed(state=["RUNNING", "error"])] == ["a1", "a2"]
    assert [each.req for each in listed(terminal=True)] == ["a2"]
    assert [each.req for each in listed(prefix="a", after="a1")] == ["a2"]
    assert [each.req for each in listed(prefix="b%", source="s", actor="a")] == ["b%"]
    assert listed(prefix="%") == listed(actor="b") == listed(source="t") == []
    assert [each.req for each in listed(limit=1)] == ["a1"]
    assert refusal(listed, state="FOO") == "invalid_state"
    assert refusal(listed, limit=0) == "invalid_request"


@pytest.mark.parametrize(
    ("initial", "transitions", "terminal", "problem"),
    [
        (["A"], {"A": ["B"]}, ["C"], "no such state: B"),
        (["A"], {"A": ["C"], "C": []}, ["C"], "terminal, yet with successors: C"),
        (["C"], {"A": ["C"]}, ["C"], "a first state is an open one"),
        ([], {"A": ["C"]}, ["C"], "a first state is an open one"),
        (["A"], {"A": ["C"], "B": ["A"]}, ["C"], "cannot be reached: B"),
        (["A"], {"A": ["a"], "a": []}, [], "differ in case"),
    ],
)
def test_a_machine_that_makes_no_sense_is_refused(
    initial: list[str], transitions: dict[str, list[str]], terminal: list[str], problem: str
) -> None:
    with pytest.raises(InvalidStateError, match=problem):
        StateMachine(initial, transitions, terminal)


def test_another_machine_decides_for_its_ledger(tmp_path: Path) -> None:
    machine = StateMachine(["Draft"], {"Draft": ["Sent"], "Sent": ["Done"]}, ["Done"])
    with Ledger(tmp_path / "l.db", machine=machine, thresholds={"sent": 5}) as ledger:
        ledger.init_schema()
        for state in ("draft", "DRAFT", "Sent"):
            ledger.write_event(event(state))

        assert refusal(ledger.write_event, event("draft")) == "invalid_transition"
        assert refusal(ledger.write_event, event("RUNNING")) == "invalid_state"
        assert ledger.allowed_next("r") == ["Sent", "Done"]
        assert ledger.sweep().checked == 0
        assert ledger.write_event(event("done")).snapshot.is_terminal


def test_the_shortest_way_leads_over_states_that_may_follow() -> None:
    for previous, state in itertools.product(TABLE, STATES):
        way = DEFAULT_MACHINE.way(previous, state)
        ended = previous in ENDS
        unreachable = state == "RECEIVED" and previous not in (None, "RECEIVED")
        assert bool(way) == (not ended and not unreachable), (previous, state)
        steps: list[str | None] = [previous, *way]
        for before, after in zip(steps, way, strict=False):
            assert DEFAULT_MACHINE.allows(before, after)
        assert not way or way[-1] == state
    assert DEFAULT_MACHINE.way("BLOCKED", "COMPLETED") == ("RUNNING", "COMPLETED")
    assert DEFAULT_MACHINE.way(None, "COMPLETED") == ("RECEIVED", "RUNNING", "COMPLETED")
