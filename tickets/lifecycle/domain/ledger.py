"""What the ledger is told of a ticket: one entry for each state that a change brought."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState

LedgerState = Literal[
    "RECEIVED", "QUEUED", "RUNNING", "BLOCKED", "COMPLETED", "FAILED", "CANCELLED"
]
_STATES: Final[dict[str, LedgerState]] = {
    "in_progress": "RUNNING",
    "blocked": "BLOCKED",
    "done": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}


class LedgerEntry(Struct, frozen=True, kw_only=True):
    """An entry before it is stored; ``event_id`` makes a repetition harmless."""

    req: str
    source: str
    state: LedgerState
    actor: str
    stage: str | None
    message: str | None
    scope: str
    event_id: str


def entries_of(
    before: TicketState | None,
    after: TicketState,
    notes: Notes,
    *,
    is_first_assignment: bool,
) -> list[LedgerEntry]:
    """Return what a change means to the ledger, in order."""
    states: list[LedgerState] = []
    if before is None:
        states.append("RECEIVED")
    if is_first_assignment:
        states.append("QUEUED")
    if before is not None and before.status != after.status:
        states.append(_STATES[after.status])
    shared: dict[str, Any] = {
        "req": f"ticket:{after.id}",
        "source": "tickets",
        "actor": notes.actor,
        "stage": notes.stage,
        "scope": after.workspace_id,
    }
    return [
        LedgerEntry(
            state=state,
            message=after.error_message or after.status_reason,
            event_id=f"ticket:{after.id}:v{after.version}:{state}",
            **shared,
        )
        for state in states
    ]
