"""What the ledger is told of tickets."""

from __future__ import annotations

import copy

import pytest

from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.ledger import entries_of
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter

NOTES = Notes(actor="user:ada", now_ms=5, stage="work")


def a_ticket() -> TicketState:
    return TicketState(
        id="t",
        workspace_id="w",
        title="a",
        status="open",
        priority=2,
        provider="local",
        mode="chat",
        version=1,
        labels_json="[]",
        label_keys="",
        search_text="a",
        dispatch_state="none",
        created_by="user",
        created_at_ms=1,
        updated_at_ms=1,
    )


def test_a_new_ticket_is_received_and_queued_where_it_is_assigned() -> None:
    ticket = a_ticket()

    received = entries_of(None, ticket, NOTES, is_first_assignment=False)
    queued = entries_of(None, ticket, NOTES, is_first_assignment=True)

    assert [entry.state for entry in received] == ["RECEIVED"]
    assert [entry.state for entry in queued] == ["RECEIVED", "QUEUED"]
    assert [entry.event_id for entry in queued] == [
        "ticket:t:v1:RECEIVED",
        "ticket:t:v1:QUEUED",
    ]
    assert (queued[0].req, queued[0].scope, queued[0].actor) == ("ticket:t", "w", "user:ada")


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (["in_progress"], "RUNNING"),
        (["in_progress", "blocked"], "BLOCKED"),
        (["in_progress", "blocked", "in_progress"], "RUNNING"),
        (["in_progress", "done"], "COMPLETED"),
        (["in_progress", "failed"], "FAILED"),
        (["cancelled"], "CANCELLED"),
    ],
)
def test_each_status_is_a_state_of_the_ledger(way: list[str], state: str) -> None:
    ticket = a_ticket()
    before = ticket
    for status in way:
        before = copy.copy(ticket)
        enter(ticket, status, now_ms=9)
        ticket.version += 1
    ticket.status_reason = "because"

    (entry,) = entries_of(before, ticket, NOTES, is_first_assignment=False)

    assert (entry.state, entry.message, entry.stage) == (state, "because", "work")
    assert entry.event_id == f"ticket:t:v{1 + len(way)}:{state}"


def test_other_changes_are_nothing_to_the_ledger() -> None:
    before, after = a_ticket(), a_ticket()
    after.describe("b", None)

    assert entries_of(before, after, NOTES, is_first_assignment=False) == []
