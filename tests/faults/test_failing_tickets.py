"""Changes to tickets of which a statement fails: nothing is left, and all can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.failing import FAILURES, Failure, Plan, failing, writer_of
from tests.faults.states import digest
from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.lifecycle.domain.documents import AssignRequest, DelegateRequest, NewChild
from tickets.lifecycle.domain.expectations import NOTHING

Work = Callable[[], object]


@pytest.fixture
def plan() -> Iterator[Plan]:
    with failing() as made:
        yield made


def a_new_ticket(place: TicketPlace) -> Work:
    """Make a ticket that is assigned, below another one."""
    parent = place.ticket()
    return lambda: place.ticket(
        parent_ticket_id=parent.id, assigned_agent_id=place.agent_id, labels=["a"]
    )


def an_end_that_lets_others_go_on(place: TicketPlace) -> Work:
    """End a ticket for which one is blocked and another waits."""
    blocker, blocked = place.start(place.ticket()), place.start(place.ticket())
    place.link(blocker, "blocks", place.ticket(assigned_agent_id=place.agent_id))
    place.move(blocked, "blocked", reason="r", blocked_by_ticket_id=blocker.id)
    return lambda: place.move(blocker, "done", output_json=[1])


def a_cascade(place: TicketPlace) -> Work:
    """Call off a ticket with all below it."""
    parent = place.ticket()
    child = place.ticket(parent_ticket_id=parent.id)
    place.ticket(parent_ticket_id=child.id)
    return lambda: place.move(parent, "cancelled", cascade=True)


def a_duplicate(place: TicketPlace) -> Work:
    """Link a ticket as a duplicate, which ends it."""
    one, other = place.ticket(), place.ticket()
    place.link(one, "blocks", place.ticket(assigned_agent_id=place.agent_id))
    return lambda: place.link(one, "duplicateOf", other)


def an_assignment(place: TicketPlace) -> Work:
    """Give a ticket to somebody else."""
    ticket = place.ticket(assigned_agent_id=place.agent_id)
    document = AssignRequest(agent_id=place.other_agent_id)
    return lambda: place.do.assignments.assign(
        place.scope, ticket.id, document, expectations=NOTHING
    )


def a_delegation(place: TicketPlace) -> Work:
    """Make a child for another agent."""
    ticket = place.ticket(assigned_agent_id=place.agent_id)
    document = DelegateRequest(
        delegated_by_agent_id=place.agent_id,
        agent_id=place.other_agent_id,
        child=NewChild(title="part"),
    )
    return lambda: place.do.assignments.delegate(
        place.scope, ticket.id, document, expectations=NOTHING
    )


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
@pytest.mark.parametrize(
    "prepare",
    [
        a_new_ticket,
        an_end_that_lets_others_go_on,
        a_cascade,
        a_duplicate,
        an_assignment,
        a_delegation,
    ],
)
def test_a_change_of_which_a_statement_fails_leaves_nothing_and_can_be_repeated(
    prepare: Callable[[TicketPlace], Work], failure: Failure, world: World, plan: Plan
) -> None:
    work = prepare(TicketPlace(world.lifecycle))
    before = digest(world.db)

    number = 2  # the first is BEGIN
    while fails(world, plan, work, number, failure):
        assert digest(world.db) == before, number
        number += 1

    assert number > 5
    assert digest(world.db) != before


def fails(world: World, plan: Plan, work: Work, number: int, failure: Failure) -> bool:
    """Work with one failing statement; tell whether there were so many."""
    writer_of(world.db)
    plan.at(number, failure)
    try:
        work()
    except failure.told:
        assert plan.stop() is not None
        return True
    assert plan.stop() is None, "nobody was told that this failed"
    return False
