"""What is done with a ticket that agents work on, stopped at each statement in turn."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests import databases
from tests.dispatching import Desk
from tests.faults.failing import FAILURES, LOST, Failure, Plan, failing, outcome
from tests.faults.states import digest
from tests.worlds import World, looked_up
from tickets.lifecycle.domain.documents import DispatchSettings
from tickets.lifecycle.domain.records import Ticket

Act = Callable[[], object]

IS_SERVER = databases.Kind.chosen == databases.POSTGRES
KILLED = Failure(
    "killed", lambda _: os.kill(os.getpid(), signal.SIGKILL), RuntimeError, lasts=True
)
# More than any of these acts has.
MOST_STATEMENTS = 500


def waiting(desk: Desk) -> Ticket:
    """Return a ticket that could start, if only somebody tried."""
    desk.workspace(status="paused")
    ticket = desk.assigned()
    with desk.world.db.write() as tx, tx.raw() as connection:
        connection.execute("UPDATE workspaces SET status = 'active'")
    return ticket


def start(desk: Desk) -> Act:
    ticket = waiting(desk)
    return lambda: desk.dispatch(ticket)


def sweep(desk: Desk) -> Act:
    waiting(desk)
    return desk.do.sweep.start_waiting


def claim(desk: Desk) -> Act:
    desk.assigned()
    return lambda: desk.world.claim(agent=desk.agent_id)


def complete(desk: Desk) -> Act:
    """The end frees the agent for one ticket, and unblocks another."""
    desk.agent(desk.agent_id, max_active_tickets=1)
    ticket, after = desk.assigned(), desk.ticket(assigned_agent_id=desk.other_agent_id)
    desk.report(
        desk.world.claim(agent=desk.other_agent_id),
        "ticket.blocked",
        reason="r",
        blocked_by_ticket_id=ticket.id,
    )
    desk.assigned()
    claimed = desk.claim(ticket)
    assert desk.now(after).status == "blocked"
    return lambda: desk.world.transition(claimed)


def die(desk: Desk) -> Act:
    claimed = desk.claim(desk.assigned())
    return lambda: desk.fail(claimed, "boom")


def die_blocked(desk: Desk) -> Act:
    settings = DispatchSettings(on_dead_letter="block")
    claimed = desk.claim(desk.assigned(dispatch=settings))
    return lambda: desk.fail(claimed, "boom")


def begin_anew(desk: Desk) -> Act:
    ticket = desk.assigned(dispatch=DispatchSettings(on_dead_letter="block"))
    desk.fail(desk.claim(ticket), "boom")
    return lambda: desk.move(ticket, "in_progress")


def block(desk: Desk) -> Act:
    claimed, other = desk.claim(desk.assigned()), desk.ticket()
    return lambda: desk.report(
        claimed, "ticket.blocked", reason="r", blocked_by_ticket_id=other.id
    )


def unblock(desk: Desk) -> Act:
    claimed = desk.claim(desk.assigned())
    desk.report(claimed, "ticket.blocked", reason="r")
    return lambda: desk.report(claimed, "ticket.unblocked")


def cancel(desk: Desk) -> Act:
    ticket = desk.assigned()
    desk.claim(ticket)
    return lambda: desk.move(ticket, "cancelled")


def reassign(desk: Desk) -> Act:
    ticket = desk.assigned()
    desk.claim(ticket)
    return lambda: desk.assign(ticket, desk.other_agent_id)


ACTS = (
    *(start, sweep, claim, complete, die, die_blocked, begin_anew),
    *(block, unblock, cancel, reassign),
)
each_act = pytest.mark.parametrize("prepare", ACTS, ids=lambda each: each.__name__)


@pytest.fixture
def plan() -> Iterator[Plan]:
    with failing() as made:
        yield made


@pytest.mark.parametrize(
    ("prepare", "failure"),
    [
        pytest.param(prepare, failure, id=f"{prepare.__name__}-{failure.name}")
        for prepare in ACTS
        for failure in [*FAILURES, *[LOST] * IS_SERVER]
        # A sweep says nothing of a connection that was lost: the next one does the same.
        if (prepare, failure) != (sweep, LOST)
    ],
)
def test_an_act_of_which_a_statement_fails_leaves_nothing_and_can_be_repeated(
    prepare: Callable[[Desk], Act], failure: Failure, plan: Plan, world: World
) -> None:
    desk = Desk(world)
    act = prepare(desk)
    before = digest(world.db)

    number = 2  # the first is BEGIN
    while (failed := outcome(world.db, plan, act, number, failure)) is not None:
        assert digest(world.db) == before, (number, failed)
        number += 1

    assert len(plan.statements) == number - 1 > 5
    assert digest(world.db) != before
    desk.check()
    assert world.db.integrity_check() == []


# T-15
@each_act
def test_a_process_that_is_killed_between_two_statements_leaves_nothing(
    prepare: Callable[[Desk], Act], world: World
) -> None:
    desk = Desk(world)
    act = prepare(desk)
    before = digest(world.db)

    number = 1
    while killed_at(number, act):
        assert digest(world.db) == before, number
        number += 1

    assert 5 < number < MOST_STATEMENTS
    assert digest(world.db) != before
    desk.check()


# T-15
def test_a_start_that_was_killed_is_made_by_the_next_sweep(world: World) -> None:
    desk = Desk(world)
    number, is_over = 1, False
    while not is_over:
        ticket = waiting(desk)
        is_over = not killed_at(number, lambda ticket=ticket: desk.dispatch(ticket))  # type: ignore[misc]  # the lambda's own name
        started = desk.now(ticket)
        found = (started.status, len(desk.rows(ticket)))
        assert found == (("in_progress", 1) if is_over else ("open", 0)), number

        desk.sweep()

        assert desk.rows(ticket) == [(1, "queued", None)]
        number += 7
    (count,) = looked_up(world.db, "SELECT COUNT(*) FROM tasks")
    assert tuple(count) == ((number - 1) // 7,)
    desk.check()


def killed_at(number: int, act: Act) -> bool:
    """Do something in a process that kills itself before a statement; tell whether it did."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with failing() as plan:
                plan.at(number, KILLED)
                act()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(ended) == 0
    return False
