"""The statuses of a ticket, the ways between them, and what holds in each."""

from __future__ import annotations

from typing import Final, Literal

from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import InvalidStatusTransition

Status = Literal["open", "in_progress", "blocked", "done", "failed", "cancelled"]

EDGES: Final = frozenset(
    {
        ("open", "in_progress"),
        ("open", "cancelled"),
        ("in_progress", "done"),
        ("in_progress", "failed"),
        ("in_progress", "cancelled"),
        ("in_progress", "blocked"),
        ("blocked", "in_progress"),
        ("blocked", "cancelled"),
    }
)


def check_edge(from_: str, to: str) -> None:
    """Return where a ticket may go from one status to the other.

    Raises InvalidStatusTransition, also for a status that it has already.
    """
    if (from_, to) not in EDGES:
        raise InvalidStatusTransition(f"A ticket cannot go from {from_} to {to}")


def enter(ticket: TicketState, to: str, *, now_ms: int) -> None:
    """Give a ticket another status, and what every way there brings with it.

    What only some ways bring (output, error, reason) is the caller's. Raises
    InvalidStatusTransition.
    """
    check_edge(ticket.status, to)
    if to == "in_progress" and ticket.started_at_ms is None:
        ticket.started_at_ms = now_ms
    ticket.status = to
    ticket.status_changed_at_ms = now_ms
    ticket.execution_locked_at_ms = now_ms if to == "in_progress" else None
    ticket.blocked_kind = None
    if to in ("in_progress", "done"):
        ticket.status_reason = None
    if ticket.is_terminal:
        ticket.finished_at_ms = now_ms
        ticket.dispatch_state, ticket.wait_reason = "ended", None


def check_invariants(ticket: TicketState) -> None:
    """Assert what holds for every ticket between changes; a breach is a mistake of ours."""
    status = ticket.status
    assert (ticket.execution_locked_at_ms is not None) == (status == "in_progress"), "lock"
    assert ticket.output_json is None or status == "done", "output without an end"
    assert (ticket.error_message is not None) == (status == "failed"), "error and failure"
    assert (ticket.blocked_kind is not None) == (status == "blocked"), "what blocks it"
    assert (ticket.finished_at_ms is not None) == ticket.is_terminal, "end and its time"
    assert (ticket.dispatch_state == "ended") == ticket.is_terminal, "work beyond the end"
    assert ticket.wait_reason is None or ticket.dispatch_state == "waiting", "wait"
