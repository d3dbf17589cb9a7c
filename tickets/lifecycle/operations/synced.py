"""The ``sync`` part of a ticket, derived from its shadow and its queue."""

from __future__ import annotations

import json
from typing import Any

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.sync_records import Sync, SyncConflict


def sync_of(tx: Transaction, ticket: TicketState) -> Sync | None:
    """Return how a ticket and its issue stand to each other, None where it has none."""
    if ticket.external_id is None:
        return None
    shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
    if shadow is None:
        return None
    queue = tx.many("sync_outbox.open_of_ticket", ticket_id=ticket.id)
    dead = tx.many("sync_outbox.dead_of_ticket", ticket_id=ticket.id)
    state = json.loads(shadow["fields_json"]).get("status") or {}
    return Sync(
        state=_state(shadow, queue, dead),  # type: ignore[arg-type]  # one of the five
        external_id=ticket.external_id,
        remote_status=state.get("name"),
        remote_state_type=state.get("type"),
        remote_updated_at_ms=shadow["remote_updated_at_ms"],
        last_synced_at_ms=shadow["last_synced_at_ms"],
        pending=len(queue),
        attempts=queue[0]["attempts"] if queue else 0,
        last_error=_last_error(shadow, queue, dead),
        conflict=_conflict(shadow),
    )


def _state(shadow: Row, queue: list[Row], dead: list[Row]) -> str:
    if shadow["is_detached"]:
        return "detached"
    if shadow["conflict_json"] is not None:
        return "conflict"
    if dead:
        return "error"
    is_known = shadow["remote_updated_at_ms"] is not None
    return "synced" if not queue and is_known else "pending"


def _last_error(shadow: Row, queue: list[Row], dead: list[Row]) -> str | None:
    """Return what went wrong last, of what still matters."""
    if not queue and not dead:
        return None
    error: str | None = shadow["last_error"]
    return error or (dead[-1]["last_error"] if dead else None)


def _conflict(shadow: Row) -> SyncConflict | None:
    text: str | None = shadow["conflict_json"]
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    return SyncConflict(**found)
