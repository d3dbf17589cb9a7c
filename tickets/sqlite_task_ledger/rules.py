"""The rules that write: each is one transaction's work on a Store, with one clock reading."""

from __future__ import annotations

from .deliveries import Decision, Delivery, Message, decide
from .errors import (
    EventConflictError,
    InvalidEventError,
    InvalidTransitionError,
    StateMismatchError,
    TerminalStateError,
    UnknownTaskError,
)
from .events import NO_STATE, Event, Report, StatusEvent, WriteResult
from .snapshots import Snapshot, fold
from .staleness import STALE, TIMEOUT, WATCHDOG, Overdue, StaleTask, Thresholds, by_overdue
from .states import StateMachine
from .store import Store

RECORDED = "recorded"


def write_event(
    store: Store, event: StatusEvent, *, now_ms: int, machine: StateMachine
) -> WriteResult:
    """Append an event, or find that it is stored already.

    Raises InvalidStateError, EventConflictError, InvalidEventError (another scope),
    StateMismatchError, TerminalStateError, InvalidTransitionError, in this order.
    """
    state = machine.canonical(event.state)
    if event.event_id is not None:
        stored = store.event_by_id(event.event_id)
        if stored is not None:
            return _replay(store, stored, event, state)
    before = store.snapshot(event.req)
    _check_scope(event, before)
    _check_expected(event, before, machine)
    return append(store, before, event, state=state, now_ms=now_ms, machine=machine)


def append(
    store: Store,
    before: Snapshot | None,
    report: Report,
    *,
    state: str,
    now_ms: int,
    machine: StateMachine,
) -> WriteResult:
    """Append a report behind what is there.

    ``before`` is the present snapshot of the req, ``state`` is spelled as the machine does.
    Raises TerminalStateError, InvalidTransitionError.
    """
    event = next_event(before, report, state=state, now_ms=now_ms, machine=machine)
    snapshot = fold(before, event)
    seq = store.append(event, snapshot)
    return WriteResult(
        seq,
        event.n,
        event.req,
        state,
        event.previous_state,
        duplicate=False,
        snapshot=snapshot._replace(last_seq=seq),
    )


def next_event(
    before: Snapshot | None,
    report: Report,
    *,
    state: str,
    now_ms: int,
    machine: StateMachine,
) -> Event:
    """Return the event that a report becomes, without its number. Raises as ``append``."""
    if before is None:
        previous, n, scope = None, 1, report.scope
    elif before.is_terminal:
        raise TerminalStateError(report.req, before.state)
    else:
        previous, n, scope = before.state, before.event_count + 1, before.scope
    if not machine.allows(previous, state):
        raise InvalidTransitionError(report.req, previous, state)
    return Event(
        0,
        report.req,
        n,
        state,
        previous,
        state in machine.terminal,
        report.actor,
        report.source,
        report.stage,
        report.message,
        report.data_json,
        report.event_id,
        scope,
        report.ts_ms,
        now_ms,
    )


def touch(
    store: Store,
    req: str,
    *,
    actor: str,
    source: str,
    stage: str | None,
    message: str | None,
    now_ms: int,
    machine: StateMachine,
) -> WriteResult:
    """Report that a task is still in its state. Raises UnknownTaskError, TerminalStateError."""
    before = store.snapshot(req)
    if before is None:
        raise UnknownTaskError(f"{req} has no event")
    event = StatusEvent(
        state=before.state, actor=actor, source=source, req=req, stage=stage, message=message
    )
    return append(store, before, event, state=before.state, now_ms=now_ms, machine=machine)


def find_stale(
    store: Store,
    thresholds: Thresholds,
    *,
    states: tuple[str, ...],
    now_ms: int,
    limit: int,
) -> list[StaleTask]:
    """Return the tasks that went quiet, the most overdue first."""
    allowed_ms: dict[str, int] = {}
    for state in states:
        threshold_ms = thresholds.get(state)
        if threshold_ms:
            allowed_ms[state] = threshold_ms
    until_ms = {state: now_ms - threshold_ms for state, threshold_ms in allowed_ms.items()}
    rows = store.quiet(until_ms, limit=limit) if until_ms else []
    return by_overdue(
        (StaleTask(row, now_ms - row.last_event_at_ms, allowed_ms[row.state]) for row in rows),
        limit,
    )


def find_overdue(
    store: Store,
    thresholds: Thresholds,
    timeouts: Thresholds,
    *,
    now_ms: int,
    limit: int,
    machine: StateMachine,
) -> list[Overdue]:
    """Return what a sweep has to do with, at most ``limit`` of each kind, each task once."""
    found: dict[str, Overdue] = {}
    for state, timeout_ms in timeouts.items():
        if timeout_ms and machine.allows(state, TIMEOUT):
            for row in store.lasting(state, until_ms=now_ms - timeout_ms, limit=limit):
                age_ms = now_ms - row.state_entered_at_ms
                words = f"{state} for {age_ms} ms, timeout {timeout_ms} ms"
                found[row.req] = Overdue(row, TIMEOUT, words)
    may_go_stale = tuple(
        state for state in machine.open if state != STALE and machine.allows(state, STALE)
    )
    for task in find_stale(store, thresholds, states=may_go_stale, now_ms=now_ms, limit=limit):
        row = task.snapshot
        words = f"no event for {task.age_ms} ms, threshold {task.threshold_ms} ms"
        found.setdefault(row.req, Overdue(row, STALE, words))
    return list(found.values())[:limit]


def mark(
    store: Store, overdue: Overdue, *, actor: str, now_ms: int, machine: StateMachine
) -> bool:
    """Write what a sweep found, unless the task was heard of since; tell whether it was."""
    before = store.snapshot(overdue.snapshot.req)
    if before is None or before.last_seq != overdue.snapshot.last_seq:
        return False
    event = StatusEvent(
        state=overdue.state,
        actor=actor,
        source=WATCHDOG,
        req=before.req,
        message=overdue.message,
        event_id=overdue.event_id,
    )
    append(store, before, event, state=overdue.state, now_ms=now_ms, machine=machine)
    return True


def deliver(store: Store, message: Message, *, now_ms: int, dry_run: bool = False) -> Decision:
    """Decide whether to send, and record that; nothing is written where ``dry_run`` is set."""
    if not dry_run:
        store.hold_deliveries(message.channel, message.key, message.req)
    last = store.last_delivery(message.channel, message.key)
    last_of_req = None
    if message.req is not None and message.req_cooldown_ms:
        last_of_req = store.last_delivery_of_req(message.channel, message.req)
    decision, held_back_by = decide(message, last, last_of_req, now_ms=now_ms)
    if dry_run:
        return decision
    if held_back_by is not None:
        store.count_suppressed(held_back_by.id, now_ms)
        return decision
    new = Delivery(
        id=0,
        channel=message.channel,
        dedupe_key=message.key,
        req=message.req,
        state=message.state,
        payload_hash=message.payload_hash,
        cooldown_ms=message.cooldown_ms,
        status=RECORDED,
        delivered_at_ms=now_ms,
        suppressed_count=0,
        last_suppressed_at_ms=None,
    )
    return decision._replace(delivery_id=store.add_delivery(new))


def _replay(store: Store, stored: Event, event: StatusEvent, state: str) -> WriteResult:
    # A scope that is left out is that of the req, which the stored event has.
    scope = stored.scope if event.scope is None else event.scope
    given = (event.req, state, event.actor, event.source, event.stage, event.message)
    there = (
        stored.req,
        stored.state,
        stored.actor,
        stored.source,
        stored.stage,
        stored.message,
    )
    if (*given, event.data_json, scope) != (*there, stored.data_json, stored.scope):
        raise EventConflictError(
            f"the event id {stored.event_id!r} is stored with other content"
        )
    snapshot = store.snapshot(stored.req)
    assert snapshot is not None, "written with the event"
    return WriteResult(
        stored.seq,
        stored.n,
        stored.req,
        stored.state,
        stored.previous_state,
        duplicate=True,
        snapshot=snapshot,
    )


def _check_scope(event: StatusEvent, before: Snapshot | None) -> None:
    if before is not None and event.scope not in (None, before.scope):
        raise InvalidEventError("scope", "is not that of the first event of this req")


def _check_expected(event: StatusEvent, before: Snapshot | None, machine: StateMachine) -> None:
    if event.expected_state is None:
        return
    present = NO_STATE if before is None else before.state
    expected = event.expected_state.upper()
    if expected != NO_STATE:
        expected = machine.canonical(expected)
    if expected != present:
        raise StateMismatchError(f"{event.req} is in {present}, not in {expected}")
