"""Tickets, their agents and sweeps at once, each in a thread with its own connection."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.dispatching import Desk, check_tickets
from tests.drills import rounds, seed
from tests.worlds import World, looked_up, refusal
from tickets.db.repeating import repeated
from tickets.errors import TicketsError
from tickets.lifecycle.domain.documents import DispatchSettings, TeamDocument

THREADS = 20
ROUNDS = 8
SEED = seed(1)
HISTORIES = rounds(2, drill=12)
# What a run that was withdrawn or ended by somebody else is told.
OVER = {"expired", "not_found"}


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def together(crowd: ThreadPoolExecutor, *acts: Callable[[], Any]) -> list[Any]:
    """Begin all acts at one instant; return the code with which each was refused, or None."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> str | None:
        start.wait()
        try:
            repeated(act)
        except TicketsError as error:
            return error.code
        return None

    return [future.result() for future in [crowd.submit(run, act) for act in acts]]


def kinds(desk: Desk, ticket: Any) -> Counter[str]:
    """Return how often each type of event was told of a ticket."""
    return Counter(kind for kind, _, _ in desk.told(ticket))


# T-14
def test_of_many_who_start_a_ticket_one_does(desk: Desk, crowd: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        desk.workspace(status="paused")
        ticket = desk.assigned()
        with desk.world.db.write() as tx, tx.raw() as connection:
            connection.execute("UPDATE workspaces SET status = 'active'")

        found = together(
            crowd, *[partial(desk.dispatch, ticket)] * 10, *[partial(desk.sweep)] * 10
        )

        assert found == [None] * 20
        assert desk.rows(ticket) == [(1, "queued", None)]
        assert kinds(desk, ticket)["TicketStarted"] == 1
    tasks = looked_up(desk.world.db, "SELECT COUNT(*) FROM tasks")
    assert tuple(tasks[0]) == (ROUNDS,)
    desk.check()


def test_of_a_cancel_and_the_end_of_the_run_one_wins(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        cancelled, moved, beat, noted = together(
            crowd,
            partial(desk.move, ticket, "cancelled"),
            partial(desk.world.transition, claim),
            partial(desk.world.heartbeat, claim),
            partial(desk.world.event, claim),
        )

        assert {beat, noted} <= {None, *OVER}
        if moved is None:
            assert cancelled == "invalid_transition"
        else:
            assert (cancelled, moved) == (None, "expired")
        status = "done" if moved is None else "cancelled"
        assert desk.now(ticket).status == status
        assert kinds(desk, ticket)["TicketStatusChanged"] == 2
        desk.check()


def test_a_cancel_and_a_claim_at_once_leave_nobody_at_work(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        ticket = desk.assigned()

        together(
            crowd,
            partial(desk.move, ticket, "cancelled"),
            *[partial(desk.world.claims, agent=desk.agent_id)] * 3,
        )

        assert desk.now(ticket).status == "cancelled"
        assert desk.world.claims(agent=desk.agent_id) == []
        desk.check()


def test_a_cancel_and_a_start_at_once_leave_no_task(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        ticket = desk.ticket()

        cancelled, assigned = together(
            crowd,
            partial(desk.move, ticket, "cancelled"),
            partial(desk.assign, ticket, desk.agent_id),
        )

        assert (cancelled, assigned) in [(None, None), (None, "ticket_terminal")]
        assert desk.world.claims(agent=desk.agent_id) == []
        desk.check()


def test_of_two_who_reassign_the_last_one_has_it(desk: Desk, crowd: ThreadPoolExecutor) -> None:
    agents = [desk.other_agent_id, "c", "d"]
    for agent_id in agents[1:]:
        desk.agent(agent_id)
    for _ in range(ROUNDS):
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        *found, moved = together(
            crowd,
            *(partial(desk.assign, ticket, agent_id) for agent_id in agents),
            partial(desk.world.transition, claim),
        )

        now = desk.now(ticket)
        desk.check()
        if moved is None:
            assert now.status == "done"
            assert set(found) == {"ticket_terminal"}
        else:
            assert moved == "expired"
            assert found == [None] * 3
            assert (now.dispatch.generation, now.dispatch.state) == (4, "queued")
            (last,) = desk.world.claims(agent=str(now.assigned_agent_id))
            assert last.task.id == now.dispatch.task_id
            desk.world.transition(last)


def test_an_end_and_an_unblock_at_once_let_a_ticket_go_on_once(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        blocker, ticket = desk.start(desk.ticket()), desk.assigned()
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.blocked", reason="r", blocked_by_ticket_id=blocker.id)

        together(
            crowd,
            partial(desk.move, blocker, "done"),
            partial(desk.move, ticket, "in_progress"),
            partial(desk.report, claim, "ticket.unblocked"),
            partial(desk.sweep),
        )

        desk.sweep()
        assert desk.now(ticket).dispatch.state == "claimed"
        assert kinds(desk, ticket)["TicketStatusChanged"] == 3
        desk.check()
        desk.world.transition(claim)


def test_a_block_and_a_cancel_at_once_end_in_the_cancel(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        cancelled, blocked, failed = together(
            crowd,
            partial(desk.move, ticket, "cancelled"),
            partial(desk.report, claim, "ticket.blocked", reason="r"),
            partial(desk.fail, claim, "boom"),
        )

        assert blocked in {None, *OVER}
        status = desk.now(ticket).status
        if status == "failed":
            assert (cancelled, failed) == ("invalid_transition", None)
        else:
            assert (cancelled, status) == (None, "cancelled")
        desk.check()


def test_an_agent_gets_no_more_than_it_may_have_in_hand(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    desk.agent(desk.agent_id, max_active_tickets=3)
    for _ in range(ROUNDS // 2):
        tickets = [desk.ticket() for _ in range(THREADS - 1)]

        together(
            crowd,
            *(partial(desk.assign, each, desk.agent_id) for each in tickets),
            partial(desk.sweep),
        )

        desk.sweep()
        states = Counter(desk.now(each).dispatch.state for each in tickets)
        assert states == {"queued": 3, "waiting": THREADS - 4}
        desk.check()
        claims = desk.world.claims(agent=desk.agent_id, max_tasks=10)
        assert len(claims) == 3
        together(crowd, *(partial(desk.world.transition, each) for each in claims))
        desk.sweep()
        assert Counter(desk.now(each).dispatch.state for each in tickets) == {
            "ended": 3,
            "queued": 3,
            "waiting": THREADS - 7,
        }
        desk.check()
        together(crowd, *(partial(desk.move, each, "cancelled") for each in tickets))
        desk.check()


def test_a_team_gets_no_more_than_its_member_may_have_in_hand(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    desk.agent(desk.agent_id, max_active_tickets=2)
    team = TeamDocument(name="t", agent_ids=[desk.agent_id])
    desk.do.teams.put(desk.workspace_id, "t", team)
    for _ in range(ROUNDS):
        together(crowd, *[partial(desk.ticket, assigned_team_id="t")] * 10)

        claims = desk.world.claims(agent=desk.agent_id, max_tasks=10)
        assert len(claims) == 2
        desk.check()
        together(crowd, *(partial(desk.world.transition, each) for each in claims))
        desk.sweep()


@pytest.mark.postgres
def test_a_cancel_and_the_end_of_the_run_do_not_wait_for_each_other(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    """Both have the task first; else the server would find a deadlock, after a second."""
    begun: list[str] = []

    def counted(name: str, act: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            begun.append(name)
            return act()

        return run

    for _ in range(ROUNDS * 3):
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        together(
            crowd,
            counted("cancel", partial(desk.move, ticket, "cancelled")),
            counted("end", partial(desk.world.transition, claim)),
            counted("block", partial(desk.report, claim, "ticket.blocked", reason="r")),
        )

    assert Counter(begun) == dict.fromkeys(("cancel", "end", "block"), ROUNDS * 3)


def test_many_who_want_a_pipeline_for_a_role_make_one(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for number in range(ROUNDS):
        desk.agent(f"x{number}", f"role-{number}")

        together(crowd, *[partial(desk.ticket, assigned_agent_id=f"x{number}")] * 8)

    sql = "SELECT name, COUNT(*) FROM pipelines GROUP BY name HAVING COUNT(*) > 1"
    assert looked_up(desk.world.db, sql) == []
    (started,) = looked_up(
        desk.world.db, "SELECT COUNT(*) FROM tickets WHERE status = 'in_progress'"
    )
    assert tuple(started) == (ROUNDS * 8,)
    desk.check()


def test_a_link_and_a_start_at_once_are_one_after_the_other(
    desk: Desk, crowd: ThreadPoolExecutor
) -> None:
    for _ in range(ROUNDS):
        blocker, ticket = desk.ticket(), desk.ticket()

        found = together(
            crowd,
            partial(desk.link, blocker, "blocks", ticket),
            partial(desk.assign, ticket, desk.agent_id),
        )

        assert found == [None, None]
        now = desk.now(ticket)
        assert now.blocked_by == [blocker.id]
        waits = (now.status, now.dispatch.state, now.dispatch.wait_reason)
        assert waits in [
            ("in_progress", "queued", None),
            ("open", "waiting", "blocked_by_dependency"),
        ]
        desk.check()


@pytest.mark.drill
@pytest.mark.parametrize("number", range(HISTORIES))
def test_whatever_comes_at_once_nothing_contradicts_itself(
    desk: Desk, crowd: ThreadPoolExecutor, number: int
) -> None:
    world, history = desk.world, SEED + number
    # Both from the start: who has more in hand when a limit is set may finish that.
    for agent_id in (desk.agent_id, desk.other_agent_id):
        desk.agent(agent_id, max_active_tickets=2)
    blocking = DispatchSettings(on_dead_letter="block")
    settings = [None, blocking, desk.retries(2)]
    tickets = [
        desk.ticket(dispatch=settings[n % 3], assigned_agent_id=desk.agent_id) for n in range(9)
    ]

    def agent(agent_id: str, chance: random.Random) -> None:
        for _ in range(25):
            for claim in repeated(partial(world.claims, agent=agent_id)):
                for _ in range(3):
                    act = chance.choice(
                        [
                            partial(world.transition, claim),
                            partial(desk.fail, claim, "boom"),
                            partial(world.release, claim),
                            partial(world.heartbeat, claim),
                            partial(desk.report, claim, "ticket.blocked", reason="r"),
                            partial(desk.report, claim, "ticket.unblocked"),
                            partial(
                                desk.report,
                                claim,
                                "ticket.blocked",
                                reason="r",
                                blocked_by_ticket_id=chance.choice(tickets).id,
                            ),
                        ]
                    )
                    refusal(repeated, act)

    def person(chance: random.Random) -> None:
        for _ in range(25):
            ticket = chance.choice(tickets)
            agent_id = chance.choice([desk.agent_id, desk.other_agent_id])
            act = chance.choice(
                [
                    partial(desk.assign, ticket, agent_id),
                    partial(desk.assign, ticket, agent_id),
                    partial(desk.unassign, ticket),
                    partial(desk.dispatch, ticket),
                    partial(desk.move, ticket, "in_progress"),
                    partial(desk.move, ticket, "blocked", reason="r"),
                    partial(desk.move, ticket, "cancelled"),
                    partial(desk.patch, ticket, priority=chance.choice(["low", "high"])),
                    partial(desk.workspace, status=chance.choice(["active", "paused"])),
                    partial(desk.agent, agent_id, max_active_tickets=2),
                    partial(desk.sweep),
                ]
            )
            refusal(repeated, act)

    codes = together(
        crowd,
        *(partial(agent, desk.agent_id, random.Random(f"{history}a{n}")) for n in range(2)),
        *(
            partial(agent, desk.other_agent_id, random.Random(f"{history}b{n}"))
            for n in range(2)
        ),
        *(partial(person, random.Random(f"{history}p{n}")) for n in range(4)),
    )

    assert codes == [None] * 8
    desk.workspace(status="active")
    desk.sweep()
    check_tickets(world)
