"""The snapshot of a req: a fold over its events, which can be thrown away and made anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from .events import Event

# States from which RUNNING is a new attempt; a resume from BLOCKED is none.
ATTEMPTED_FROM: Final = frozenset({"RECEIVED", "QUEUED", "RETRYING", "STALE"})


class Snapshot(NamedTuple):
    """Where a req stands; its fields are the columns of task_state_snapshot."""

    req: str
    scope: str | None
    state: str
    is_terminal: bool
    stage: str | None
    actor: str
    source: str
    message: str | None
    data_json: str | None
    first_event_at_ms: int
    last_event_at_ms: int
    state_entered_at_ms: int
    terminal_at_ms: int | None
    event_count: int
    last_seq: int
    attempts: int

    @property
    def data(self) -> Any:
        """The newest data that an event brought, None where none did."""
        return None if self.data_json is None else json.loads(self.data_json)


def fold(before: Snapshot | None, event: Event) -> Snapshot:
    """Return the snapshot after one more event of the same req.

    Looks neither at a clock nor at a machine: a log that was written under other rules folds
    as well.
    """
    now_ms = event.recorded_at_ms
    terminal_at_ms = now_ms if event.is_terminal else None
    if before is None:
        return Snapshot(
            req=event.req,
            scope=event.scope,
            state=event.state,
            is_terminal=event.is_terminal,
            stage=event.stage,
            actor=event.actor,
            source=event.source,
            message=event.message,
            data_json=event.data_json,
            first_event_at_ms=now_ms,
            last_event_at_ms=now_ms,
            state_entered_at_ms=now_ms,
            terminal_at_ms=terminal_at_ms,
            event_count=1,
            last_seq=event.seq,
            attempts=0,
        )
    is_same = event.state == before.state
    is_attempt = event.state == "RUNNING" and before.state in ATTEMPTED_FROM
    return Snapshot(
        req=before.req,
        scope=before.scope,
        state=event.state,
        is_terminal=event.is_terminal,
        stage=before.stage if event.stage is None else event.stage,
        actor=event.actor,
        source=event.source,
        message=event.message,
        data_json=before.data_json if event.data_json is None else event.data_json,
        first_event_at_ms=before.first_event_at_ms,
        last_event_at_ms=now_ms,
        state_entered_at_ms=before.state_entered_at_ms if is_same else now_ms,
        terminal_at_ms=terminal_at_ms,
        event_count=before.event_count + 1,
        last_seq=event.seq,
        attempts=before.attempts + is_attempt,
    )
