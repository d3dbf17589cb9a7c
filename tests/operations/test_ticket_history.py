"""Whatever is done with tickets, their events tell it without a gap."""

from __future__ import annotations

import contextlib
import json
import random
from itertools import groupby
from typing import Any

import pytest

from tests.tickets import EVENT_ORDER, TicketPlace
from tests.worlds import World
from tickets.errors import TicketsError
from tickets.lifecycle.domain.documents import (
    AssignRequest,
    NewCollaborator,
    NewComment,
    TicketChanges,
)
from tickets.lifecycle.domain.expectations import NOTHING
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.state import TERMINAL

STEPS = 120
STATES = {
    "open": ("RECEIVED", "QUEUED"),
    "in_progress": ("RUNNING",),
    "blocked": ("BLOCKED",),
    "done": ("COMPLETED",),
    "failed": ("FAILED",),
    "cancelled": ("CANCELLED",),
}


def step(place: TicketPlace, chance: random.Random, tickets: list[Ticket]) -> None:
    """Do something with a ticket, whether or not it is possible."""
    ticket, other = chance.choice(tickets), chance.choice(tickets)
    agent_id = chance.choice([place.agent_id, place.other_agent_id])
    scope = chance.choice([place.scope, place.as_agent(agent_id)])
    words = TicketChanges(title=str(chance.random()), parent_ticket_id=other.id)
    collaborator = NewCollaborator(collaborator_id=agent_id)
    acts: list[Any] = [
        lambda: tickets.append(place.ticket(parent_ticket_id=ticket.id)),
        lambda: place.start(ticket),
        lambda: place.move(ticket, "in_progress"),
        lambda: place.move(ticket, "blocked", reason="r", blocked_by_ticket_id=other.id),
        lambda: place.move(ticket, "blocked", reason="r"),
        lambda: place.move(ticket, "done", output_json=[1]),
        lambda: place.move(ticket, "failed", error_message="e"),
        lambda: place.move(ticket, "cancelled", cascade=chance.random() < 0.3),
        lambda: place.link(ticket, chance.choice(["blocks", "duplicateOf"]), other),
        lambda: place.do.tickets.change(scope, ticket.id, words, expectations=NOTHING),
        lambda: place.do.assignments.assign(
            scope, ticket.id, AssignRequest(agent_id=agent_id), expectations=NOTHING
        ),
        lambda: place.do.assignments.unassign(scope, ticket.id, expectations=NOTHING),
        lambda: place.do.collaborators.add(scope, ticket.id, collaborator),
        lambda: place.do.comments.add(scope, ticket.id, NewComment(body="b")),
    ]
    with contextlib.suppress(TicketsError):
        chance.choice(acts)()


# T-44
@pytest.mark.parametrize("seed", range(6))
def test_events_and_ledger_lead_to_the_tickets_as_they_are(
    seed: int, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    place, chance = TicketPlace(world.lifecycle), random.Random(seed)
    tickets = [place.ticket() for _ in range(4)]
    for _ in range(STEPS):
        step(place, chance, tickets)

    seen = set()
    for ticket in tickets:
        now = place.now(ticket)
        events = world.query(
            "SELECT version, type, data_json FROM ticket_events"
            " WHERE ticket_id = ? ORDER BY id",
            ticket.id,
        )
        versions = [version for version, _ in groupby(row[0] for row in events)]
        assert versions == list(range(1, now.version + 1))
        for _, group in groupby(events, key=lambda row: row[0]):
            types = [row[1] for row in group]
            assert types == sorted(types, key=EVENT_ORDER.index)
            seen.update(types)
        status = "open"
        for _, type_, data in events:
            if type_ == "TicketStatusChanged":
                change = json.loads(data)
                assert change["from"] == status
                status = change["to"]
        assert status == now.status
        assert now.is_blocked == bool(now.blocked_by)
        if now.status == "blocked" and now.blocked_kind == "dependency":
            assert now.blocked_by
        [(state, scope, is_terminal)] = world.query(
            "SELECT state, scope, is_terminal FROM task_state_snapshot WHERE req = ?",
            f"ticket:{ticket.id}",
        )
        assert state in STATES[now.status]
        assert (scope, bool(is_terminal)) == (place.workspace_id, now.status in TERMINAL)
    assert len(seen) >= 7
    assert "the ledger refused" not in caplog.text
