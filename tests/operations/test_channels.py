"""Who is in the conversation about a ticket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.counted import Counted
from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.lifecycle.domain.documents import NewCollaborator, NewComment
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.channels import ensure_channel


@pytest.fixture
def place(world: World) -> TicketPlace:
    return TicketPlace(world.lifecycle)


def test_collaborators_join_with_the_next_message_once_each(place: TicketPlace) -> None:
    ticket = place.ticket(assigned_agent_id=place.agent_id)

    for id_, role in (("user:b", "owner"), (place.agent_id, "member"), ("user:a", "member")):
        document = NewCollaborator(collaborator_id=id_, role=role)  # type: ignore[arg-type]  # one of two words
        place.do.collaborators.add(place.scope, ticket.id, document)
        place.do.comments.add(place.scope, ticket.id, NewComment(body="b"))

    found = place.do.comments.get_channel(place.scope, ticket.id).participants
    assert [(each.participant_id, each.role) for each in found] == [
        (place.agent_id, "owner"),
        ("user", "member"),
        ("user:b", "owner"),
        ("user:a", "member"),
    ]


def test_a_message_takes_as_many_statements_however_many_listen(
    world: World, place: TicketPlace
) -> None:
    counts = set()
    for most in (1, 5):
        ticket = place.ticket()
        for number in range(most):
            added = NewCollaborator(collaborator_id=f"user:{number}")
            place.do.collaborators.add(place.scope, ticket.id, added)
        place.do.comments.add(place.scope, ticket.id, NewComment(body="b"))
        with world.db.write() as tx:
            counted: Any = Counted(tx)
            state = rows.found_ticket(tx, place.workspace_id, ticket.id)
            ensure_channel(counted, state, now_ms=0)
            counts.add(counted.count)

    assert len(counts) == 1
