"""Tickets that are given to agents, and given back."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec import UNSET

from tests.dispatching import Desk
from tests.factories import Json
from tests.faults.states import digest
from tests.worlds import World, refusal
from tickets.errors import LeaseExpired, NotFound
from tickets.lifecycle.operations.dispatch import MANAGER
from tickets.tracker.domain.documents import NewAssignment
from tickets.tracker.domain.pipelines import Stage


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


class TestStart:
    # T-03
    def test_an_assigned_ticket_starts_with_a_task_for_its_agent(self, desk: Desk) -> None:
        ticket = desk.assigned()

        assert ticket.status == "in_progress"
        assert ticket.execution_locked_at == desk.world.clock.now_ms()
        assert ticket.channel_id is not None
        assert (ticket.dispatch.state, ticket.dispatch.generation) == ("queued", 1)
        assert ticket.version == 2
        task = desk.world.row(str(ticket.dispatch.task_id))
        assert (task["claim_assignee"], task["stage"], task["priority"]) == (
            desk.agent_id,
            "work",
            50,
        )
        assert desk.metadata(ticket) == {
            "ticket_id": ticket.id,
            "workspace_id": desk.workspace_id,
            "generation": 1,
            "channel_id": ticket.channel_id,
            "mode": "chat",
            "expected_output_schema": None,
            "parent_ticket_id": None,
            "delegated_by_agent_id": None,
            "labels": [],
            "project_id": None,
            "pipeline_run_id": None,
        }
        assert desk.told(ticket) == [
            ("TicketCreated", 1, "user"),
            ("TicketAssigned", 1, "user"),
            ("TicketStarted", 2, "system"),
            ("TicketStatusChanged", 2, "system"),
        ]
        assert desk.events(ticket)[-1].caused_by == desk.events(ticket)[1].id
        desk.check()

    # T-04
    def test_only_the_assigned_agent_can_claim_it(self, desk: Desk) -> None:
        ticket = desk.assigned()

        assert desk.world.claims(agent=desk.other_agent_id) == []
        claim = desk.claim(ticket)

        dispatch = desk.now(ticket).dispatch
        assert (dispatch.state, dispatch.run_id, dispatch.attempt, dispatch.agent_id) == (
            "claimed",
            claim.run.id,
            1,
            desk.agent_id,
        )
        assert dispatch.lease_expires_at_ms == claim.expires_at_ms
        assert desk.now(ticket).version == 2
        desk.check()

    def test_a_heartbeat_moves_the_end_that_is_shown(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        ends_ms = desk.world.heartbeat(claim, ttl_ms=86_400_000)

        assert desk.now(ticket).dispatch.lease_expires_at_ms == ends_ms > claim.expires_at_ms

    def test_a_task_is_as_urgent_as_its_ticket(self, desk: Desk) -> None:
        ticket = desk.assigned(priority="low")
        assert desk.task(ticket)["priority"] == 25

        desk.patch(ticket, priority="critical")

        assert desk.task(ticket)["priority"] == 100

    # T-46
    def test_clients_change_neither_assignments_nor_dependencies_of_the_task(
        self, desk: Desk
    ) -> None:
        task_id = str(desk.assigned().dispatch.task_id)
        other = desk.world.task(desk.world.pipeline())
        do = desk.world.do

        codes = [
            refusal(do.assignments.assign, task_id, NewAssignment(agent_id="a")),
            refusal(do.assignments.unassign, task_id, desk.agent_id),
            refusal(do.dependencies.add, task_id, other),
            refusal(do.dead_letters.cancel, task_id, reason=None),
        ]

        assert codes == ["managed_by_ticket"] * 4
        desk.check()


class TestCancel:
    # T-12
    def test_a_cancelled_ticket_ends_its_run_and_hears_no_more_of_it(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        cancelled = desk.move(ticket, "cancelled", reason="no more")

        assert cancelled.status == "cancelled"
        told = desk.told(ticket)
        world = desk.world
        for act in (world.heartbeat, world.event, world.transition, world.fail):
            assert refusal(act, claim) in (LeaseExpired.code, NotFound.code)
        assert world.claims(agent=desk.agent_id) == []
        assert desk.told(ticket) == told
        assert desk.data(ticket)[-2] == {
            "reason": "no more",
            "from": "in_progress",
            "withdrawn_task_id": claim.task.id,
            "withdrawn_run_id": claim.run.id,
        }
        assert world.row(claim.task.id)["dead_letter_reason"] == "ticket_cancelled"
        assert desk.rows(ticket) == [(1, "ended", "cancelled")]
        desk.check()

    # T-13
    def test_a_cancel_after_the_end_is_refused(self, desk: Desk) -> None:
        ticket = desk.assigned()
        desk.world.transition(desk.claim(ticket))

        assert refusal(desk.move, ticket, "cancelled") == "invalid_transition"
        assert desk.now(ticket).status == "done"


class TestReassign:
    # T-16
    def test_the_next_agent_gets_a_task_of_its_own(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.pass_time(ms=5)

        moved = desk.assign(ticket, desk.other_agent_id)

        assert (moved.status, moved.dispatch.generation) == ("in_progress", 2)
        assert moved.execution_locked_at == desk.world.clock.now_ms()
        assert desk.told(ticket)[-1] == ("TicketReassigned", 3, "user")
        assert desk.data(ticket)[-1] == {
            "from_agent_id": desk.agent_id,
            "to_agent_id": desk.other_agent_id,
            "from_team_id": None,
            "to_team_id": None,
            "from_generation": 1,
            "to_generation": 2,
        }
        assert refusal(desk.world.heartbeat, claim) == LeaseExpired.code
        assert desk.world.claims(agent=desk.agent_id) == []
        assert desk.world.claim(agent=desk.other_agent_id).task.id == moved.dispatch.task_id
        assert desk.rows(ticket) == [(1, "ended", "superseded"), (2, "claimed", None)]
        desk.check()

    # T-17
    def test_an_agent_who_is_not_ready_does_not_get_it(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.agent(desk.other_agent_id, enabled=False)
        before = desk.now(ticket)

        assert refusal(desk.assign, ticket, desk.other_agent_id) == "not_ready"

        assert desk.now(ticket) == before
        desk.world.transition(claim)
        assert desk.now(ticket).status == "done"
        desk.check()

    def test_what_is_told_of_the_task_before_means_nothing(self, desk: Desk) -> None:
        ticket = desk.assigned()
        old = desk.claim(ticket)
        desk.assign(ticket, desk.other_agent_id)
        before = digest(desk.world.db)
        manager = desk.world.managers.of({"manager": MANAGER})
        assert manager is not None
        fact: Json = {"run_id": old.run.id, "now_ms": desk.world.clock.now_ms()}
        done = Stage("done", terminal=True)

        with desk.world.db.write() as tx:
            for call in (
                partial(manager.on_claim, attempt=2, agent_id="x", expires_at_ms=1),
                partial(manager.on_heartbeat, expires_at_ms=1),
                partial(manager.on_event, kind="ticket.blocked", data={"reason": "r"}),
                partial(manager.on_event, kind="ticket.output", data={"output": 1}),
                partial(manager.on_transition, stage=done, instructions="", output=UNSET),
                partial(manager.on_fail, error="e", is_dead=True),
                manager.on_release,
                manager.on_lease_expired,
            ):
                call(tx, old.task.id, **fact)
            manager.on_alive(tx, old.task.id, now_ms=fact["now_ms"] + 60_000)

        assert digest(desk.world.db) == before

    def test_work_outside_becomes_a_task(self, desk: Desk) -> None:
        ticket = desk.start(desk.ticket())

        moved = desk.assign(ticket, desk.agent_id)

        assert (moved.status, moved.dispatch.state) == ("in_progress", "queued")
        desk.world.transition(desk.claim(ticket))
        assert desk.now(ticket).status == "done"
        desk.check()

    def test_a_blocked_one_gets_a_new_task_when_it_goes_on(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.move(ticket, "blocked", reason="wait")

        moved = desk.assign(ticket, desk.other_agent_id)

        assert (moved.status, moved.dispatch.state) == ("blocked", "held")
        assert refusal(desk.world.heartbeat, claim) == LeaseExpired.code
        assert desk.world.claims(agent=desk.other_agent_id) == []
        again = desk.move(ticket, "in_progress")
        assert again.dispatch.generation == 2
        assert desk.world.claim(agent=desk.other_agent_id).task.id == again.dispatch.task_id
        desk.check()

    def test_a_blocked_one_that_nobody_is_to_work_on_cannot_go_on(self, desk: Desk) -> None:
        ticket = desk.assigned()
        desk.move(ticket, "blocked", reason="wait")

        assert desk.unassign(ticket).dispatch.state == "none"

        assert refusal(desk.move, ticket, "in_progress") == "not_assigned"
        assert desk.rows(ticket) == [(1, "ended", "withdrawn")]
        desk.check()


class TestLease:
    # T-18
    def test_a_lease_that_runs_out_leaves_the_ticket_to_its_agent(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket, lease_ttl_ms=100)
        desk.world.event(claim)
        version = desk.now(ticket).version
        desk.pass_time(ms=1_000)
        desk.world.advance()

        between = desk.now(ticket)
        assert (between.status, between.version) == ("in_progress", version)
        assert (between.dispatch.state, between.dispatch.lease_expires_at_ms) == (
            "queued",
            None,
        )
        again = desk.claim(ticket)
        assert (again.task.id, again.run.attempt) == (claim.task.id, 2)
        assert desk.task(ticket)["failed_attempts"] == 0
        desk.check()

    def test_a_lease_that_is_given_back_leaves_the_ticket_to_its_agent(
        self, desk: Desk
    ) -> None:
        ticket = desk.assigned()
        desk.world.release(desk.claim(ticket))

        assert desk.now(ticket).dispatch.state == "queued"
        assert desk.claim(ticket).run.attempt == 2
