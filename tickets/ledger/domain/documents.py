"""What clients of the ledger send: one type for each request document and query string.

Unknown fields are ignored and null stands for absent, as everywhere in this service.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tickets.sqlite_task_ledger.deliveries import MAX_KEY
from tickets.sqlite_task_ledger.events import (
    MAX_EVENT_ID,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_REQ,
    MAX_STAGE,
)

MAX_BULK_EVENTS = 1_000
MAX_INT64 = 2**63 - 1

Word = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Req = Annotated[str, Meta(min_length=1, max_length=MAX_REQ)]
Stage = Annotated[str, Meta(min_length=1, max_length=MAX_STAGE)]
Message = Annotated[str, Meta(max_length=MAX_MESSAGE)]
Int64 = Annotated[int, Meta(ge=-MAX_INT64 - 1, le=MAX_INT64)]
DurationMs = Annotated[int, Meta(ge=0, le=MAX_INT64)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
# Patterns that readers of the contract see; a cursor of another form has an error of its own.
IdCursor = Annotated[str, Meta(extra_json_schema={"pattern": "^[+-]?[0-9]{1,18}$"})]
Flag = Literal["true", "false"]
Durations = dict[str, DurationMs | None]


class LedgerDocument(Struct, frozen=True):
    """A request document."""


class ScopeQuery(LedgerDocument, frozen=True):
    """Every request of the ledger: the workspace whose rows it sees besides those of all.

    The header ``X-Workspace-Id`` says the same.
    """

    workspace_id: Word | None = None


class NewLedgerEvent(LedgerDocument, frozen=True):
    """``POST /ledger/events``."""

    state: Word
    actor: Word
    source: Word
    req: Req
    stage: Stage | None = None
    message: Message | None = None
    data: Any = None
    event_id: Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID)] | None = None
    ts_ms: Int64 | None = None
    expected_state: Word | None = None
    scope: Word | None = None


class NewLedgerEvents(LedgerDocument, frozen=True):
    """``POST /ledger/events/bulk``: items are read one by one, so that a refusal names one."""

    events: Annotated[list[Any], Meta(min_length=1, max_length=MAX_BULK_EVENTS)]


class LedgerTouch(LedgerDocument, frozen=True):
    """``POST /ledger/tasks/{req}/touch``."""

    actor: Word
    source: Word
    stage: Stage | None = None
    message: Message | None = None


class LedgerTasksQuery(ScopeQuery, frozen=True):
    """``GET /ledger/tasks``; ``state`` is one state or several between commas."""

    state: str | None = None
    terminal: Flag | None = None
    source: str | None = None
    actor: str | None = None
    prefix: str | None = None
    limit: Limit = 50
    cursor: str | None = None


class LedgerPageQuery(ScopeQuery, frozen=True):
    """A list of rows by their number."""

    limit: Limit = 50
    cursor: IdCursor | None = None


class LedgerEventsQuery(ScopeQuery, frozen=True):
    """``GET /ledger/events``; ``cursor`` is the same as ``after_seq``."""

    after_seq: IdCursor | None = None
    cursor: IdCursor | None = None
    limit: Limit = 50


class StaleQuery(ScopeQuery, frozen=True):
    """``GET /ledger/stale``: thresholds that differ from the service's, 0 for never."""

    threshold_ms: DurationMs | None = None
    received_ms: DurationMs | None = None
    queued_ms: DurationMs | None = None
    running_ms: DurationMs | None = None
    blocked_ms: DurationMs | None = None
    retrying_ms: DurationMs | None = None
    stale_ms: DurationMs | None = None
    state: str | None = None
    limit: Limit = 50


class SweepRequest(LedgerDocument, frozen=True):
    """``POST /ledger/watchdog/sweep``: durations by state, null or 0 for never."""

    thresholds: Durations | None = None
    timeouts: Durations | None = None
    mark: bool | None = None


class NewDelivery(LedgerDocument, frozen=True):
    """``POST /ledger/deliveries``."""

    channel: Word
    dedupe_key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY)] | None = None
    req: Req | None = None
    state: Word | None = None
    stage: Stage | None = None
    cooldown_ms: DurationMs | None = None
    req_cooldown_ms: DurationMs | None = None
    payload_hash: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None
    dry_run: bool | None = None


class DeliveriesQuery(LedgerPageQuery, frozen=True):
    """``GET /ledger/deliveries``."""

    channel: str | None = None
    req: str | None = None
