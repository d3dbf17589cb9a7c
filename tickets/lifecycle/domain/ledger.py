"""What the ledger is told of a ticket: one fact for each state that a change brought."""

from __future__ import annotations

from typing import Final

from tickets.ledger.domain.facts import Fact
from tickets.ledger.domain.reserved import TICKET_PREFIX
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState

SOURCE: Final = "tickets"

_STATES: Final = {
    "in_progress": "RUNNING",
    "blocked": "BLOCKED",
    "done": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}


def entries_of(
    before: TicketState | None,
    after: TicketState,
    notes: Notes,
    *,
    is_first_assignment: bool,
) -> list[Fact]:
    """Return what a change means to the ledger, in order."""
    states: list[str] = []
    if before is None:
        states.append("RECEIVED")
    if is_first_assignment:
        states.append("QUEUED")
    if before is not None and before.status != after.status:
        states.append(_STATES[after.status])
    req = f"{TICKET_PREFIX}{after.id}"
    return [
        Fact(
            req=req,
            state=state,
            now_ms=notes.now_ms,
            source=SOURCE,
            actor=notes.actor,
            stage=notes.stage,
            message=after.error_message or after.status_reason,
            event_id=f"{req}:v{after.version}:{state}",
            scope=after.workspace_id,
        )
        for state in states
    ]
