"""What clients of the ledger get: one type for each answer; its fields are the JSON fields."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Raw, Struct

from tickets.sqlite_task_ledger.deliveries import Delivery
from tickets.sqlite_task_ledger.events import Event, WriteResult
from tickets.sqlite_task_ledger.snapshots import Snapshot
from tickets.sqlite_task_ledger.staleness import StaleTask

# Stored JSON, put into the answer as it lies in the database.
Json = Raw
Reason = Literal[
    "first", "duplicate", "no_cooldown", "cooldown_elapsed", "cooldown", "req_cooldown"
]


class LedgerRecord(Struct, frozen=True):
    """An answer document."""


class LedgerEvent(LedgerRecord, frozen=True):
    """A stored event."""

    seq: int
    n: int
    req: str
    state: str
    previous_state: str | None
    is_terminal: bool
    actor: str
    source: str
    stage: str | None
    message: str | None
    data: Json | None
    event_id: str | None
    scope: str | None
    ts_ms: int | None
    recorded_at_ms: int


class LedgerSnapshot(LedgerRecord, frozen=True):
    """Where a req stands."""

    req: str
    scope: str | None
    state: str
    is_terminal: bool
    stage: str | None
    actor: str
    source: str
    message: str | None
    data: Json | None
    first_event_at_ms: int
    last_event_at_ms: int
    state_entered_at_ms: int
    terminal_at_ms: int | None
    event_count: int
    last_seq: int
    attempts: int


class LedgerTask(LedgerSnapshot, frozen=True, kw_only=True):
    """Where a req stands, and the states that its next event may have."""

    allowed_next: list[str]


class LedgerWrite(LedgerRecord, frozen=True):
    """What became of an event; ``duplicate`` where it was stored before."""

    seq: int
    n: int
    req: str
    state: str
    previous_state: str | None
    duplicate: bool
    snapshot: LedgerSnapshot


class LedgerWrites(LedgerRecord, frozen=True):
    """What became of several events, in their order."""

    items: list[LedgerWrite]


class LedgerEvents(LedgerRecord, frozen=True):
    """A part of the log; ``next_cursor`` goes on behind what was looked at."""

    items: list[LedgerEvent]
    next_cursor: str


class StaleLedgerTask(LedgerSnapshot, frozen=True, kw_only=True):
    """A task that went quiet."""

    age_ms: int
    threshold_ms: int
    overdue_ms: int


class StaleLedgerTasks(LedgerRecord, frozen=True):
    """Tasks that went quiet, the most overdue first, and by which thresholds; null is never."""

    items: list[StaleLedgerTask]
    next_cursor: None
    now_ms: int
    thresholds: dict[str, int | None]


class Swept(LedgerRecord, frozen=True):
    """What a sweep did; ``items`` are the reqs written, or due where nothing was marked."""

    checked: int
    marked: int
    timed_out: int
    skipped: int
    items: list[str]


class DeliveryDecision(LedgerRecord, frozen=True):
    """Whether to send."""

    allowed: bool
    reason: Reason
    delivery_id: int | None
    last_delivered_at_ms: int | None
    retry_after_ms: int | None
    suppressed_count: int
    payload_changed: bool


class LedgerDelivery(LedgerRecord, frozen=True):
    """A delivery that was let through; only a ``recorded`` one counts."""

    id: int
    channel: str
    dedupe_key: str
    req: str | None
    state: str | None
    payload_hash: str | None
    cooldown_ms: int | None
    status: Literal["recorded", "failed"]
    delivered_at_ms: int
    suppressed_count: int
    last_suppressed_at_ms: int | None


class Verified(LedgerRecord, frozen=True):
    """Whether each snapshot is what its events fold to, and the reqs of which it is not."""

    ok: bool
    differing: list[str]


class Rebuilt(LedgerRecord, frozen=True):
    """How much was folded, and how many snapshots were wrong, missing or without events."""

    tasks: int
    events: int
    changed: int
    missing: int
    extra: int


def event(stored: Event) -> LedgerEvent:
    """Return an event as clients see it."""
    columns = stored._asdict()
    columns["data"] = _json(columns.pop("data_json"))
    return LedgerEvent(**columns)


def snapshot(stored: Snapshot) -> LedgerSnapshot:
    """Return a snapshot as clients see it."""
    return LedgerSnapshot(**_columns(stored))


def task(stored: Snapshot, allowed_next: tuple[str, ...]) -> LedgerTask:
    """Return a snapshot with what may come next."""
    return LedgerTask(**_columns(stored), allowed_next=list(allowed_next))


def stale(found: StaleTask) -> StaleLedgerTask:
    """Return a task that went quiet."""
    return StaleLedgerTask(
        **_columns(found.snapshot),
        age_ms=found.age_ms,
        threshold_ms=found.threshold_ms,
        overdue_ms=found.overdue_ms,
    )


def write(result: WriteResult) -> LedgerWrite:
    """Return what became of an event."""
    columns = result._asdict()
    columns["snapshot"] = snapshot(result.snapshot)
    return LedgerWrite(**columns)


def delivery(stored: Delivery) -> LedgerDelivery:
    """Return a delivery as clients see it."""
    return LedgerDelivery(**stored._asdict())


def _columns(stored: Snapshot) -> dict[str, Any]:
    columns = stored._asdict()
    columns["data"] = _json(columns.pop("data_json"))
    return columns


def _json(text: str | None) -> Json | None:
    return None if text is None else Json(text.encode())
