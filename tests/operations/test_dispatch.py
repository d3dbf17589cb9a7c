"""Tickets that are given to agents, and what the tracker tells of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from msgspec import UNSET

from tests.dispatching import Desk
from tests.factories import Json
from tests.faults.states import digest
from tests.worlds import World, refusal
from tickets.errors import LeaseExpired, NotFound
from tickets.lifecycle.domain.documents import (
    DispatchSettings,
    TeamDocument,
    WorkspaceChanges,
    WorkspaceDispatch,
)
from tickets.lifecycle.operations.dispatch import MANAGER
from tickets.tracker.domain.documents import NewAssignment
from tickets.tracker.domain.pipelines import Stage

SCHEMA: Json = {"type": "object", "required": ["sha"]}
# Two agents one after the other, and a way to give up.
REVIEWED: Json = {
    "initial": "coding",
    "states": {
        "coding": {"agent_role": "coder"},
        "review": {"agent_role": "reviewer"},
        "accepted": {"terminal": True},
        "rejected": {"terminal": True},
        "canceled": {"terminal": True},
    },
    "transitions": [
        {"from": "coding", "to": "review", "trigger": "submit"},
        {"from": "coding", "to": "coding", "trigger": "again"},
        {"from": "review", "to": "accepted", "trigger": "approve"},
        {"from": "review", "to": "rejected", "trigger": "reject", "instructions": "No good"},
        {"from": "review", "to": "canceled", "trigger": "drop"},
    ],
}


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


class TestEnd:
    # T-05
    def test_a_run_that_completes_completes_the_ticket(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.pass_time(ms=70)

        desk.world.transition(claim)

        done = desk.now(ticket)
        assert (done.status, done.execution_locked_at, done.dispatch.state) == (
            "done",
            None,
            "ended",
        )
        assert desk.told(ticket)[-2:] == [
            ("TicketCompleted", 3, f"agent:{desk.agent_id}"),
            ("TicketStatusChanged", 3, f"agent:{desk.agent_id}"),
        ]
        completed, changed = desk.data(ticket)[-2:]
        assert completed == {
            "output_json": None,
            "task_id": claim.task.id,
            "run_id": claim.run.id,
            "generation": 1,
            "duration_ms": 70,
        }
        assert changed["trigger"] == "run_completed"
        assert desk.rows(ticket) == [(1, "ended", "completed")]
        desk.check()

    # T-05
    def test_who_holds_the_lease_completes_the_ticket_itself(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        assert desk.refused_as_agent(ticket, "done") == "lease_required"

        desk.as_holder(ticket, claim, "done", output_json=[1])

        assert desk.output(ticket) == [1]
        assert desk.told(ticket)[-1][2] == f"agent:{desk.agent_id}"
        assert refusal(desk.world.transition, claim) == LeaseExpired.code
        desk.check()

    def test_a_token_of_another_lease_or_of_one_that_is_over_proves_nothing(
        self, desk: Desk
    ) -> None:
        ticket, other = desk.assigned(), desk.assigned()
        claim, foreign = desk.claim(ticket), desk.claim(other)

        assert refusal(desk.as_holder, ticket, foreign, "done") == "unauthorized"
        assert refusal(desk.as_holder, desk.ticket(), claim, "done") == "unauthorized"
        desk.pass_time(ms=10_000_000)
        assert refusal(desk.as_holder, ticket, claim, "done") == "expired"
        desk.world.advance()
        assert refusal(desk.as_holder, ticket, claim, "done") == "expired"
        desk.move(ticket, "cancelled")
        assert refusal(desk.as_holder, ticket, claim, "done") == "expired"
        desk.check()

    # T-06
    @pytest.mark.parametrize("way", ["event", "transition"])
    def test_an_output_that_fits_is_kept(self, way: str, desk: Desk) -> None:
        ticket = desk.assigned(expected_output_schema=SCHEMA)
        claim = desk.claim(ticket)

        fields: Json = {}
        if way == "event":
            desk.report(claim, "ticket.output", output={"sha": "old"})
            desk.report(claim, "ticket.output", output={"sha": "x"})
        else:
            desk.report(claim, "ticket.output", output={"sha": "old"})
            fields = {"output": {"sha": "x"}}
        desk.world.transition(claim, **fields)

        assert desk.output(ticket) == {"sha": "x"}
        desk.check()

    def test_the_output_of_an_earlier_run_of_the_task_counts(self, desk: Desk) -> None:
        ticket = desk.assigned(expected_output_schema=SCHEMA)
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.output", output={"sha": "x"})
        desk.world.release(claim)

        desk.world.transition(desk.claim(ticket))

        assert desk.output(ticket) == {"sha": "x"}

    # T-07
    @pytest.mark.parametrize("fields", [{}, {"output": {"a": 1}}, {"output": None}])
    def test_an_output_that_does_not_fit_fails_the_ticket_and_not_the_run(
        self, fields: Json, desk: Desk
    ) -> None:
        ticket = desk.assigned(expected_output_schema=SCHEMA)
        claim = desk.claim(ticket)

        desk.world.transition(claim, **fields)

        failed = desk.now(ticket)
        assert failed.status == "failed"
        assert str(failed.error_message).startswith("output_invalid: /: ")
        assert [run.status for run in desk.world.runs(claim.task.id)] == ["completed"]
        assert desk.data(ticket)[-2]["error_code"] == "output_invalid"
        assert desk.data(ticket)[-2]["output_errors"]
        assert desk.rows(ticket) == [(1, "ended", "failed")]
        desk.check()

    # T-08
    def test_an_output_that_does_not_fit_can_be_refused_and_mended(self, desk: Desk) -> None:
        ticket = desk.assigned(
            expected_output_schema=SCHEMA,
            dispatch=DispatchSettings(on_invalid_output="reject"),
        )
        claim = desk.claim(ticket)
        before = desk.now(ticket)

        assert refusal(desk.world.transition, claim, output={}) == "output_invalid"
        assert desk.now(ticket) == before
        assert desk.world.runs(claim.task.id)[0].status == "running"

        desk.world.transition(claim, output={"sha": "y"})
        assert desk.now(ticket).status == "done"
        desk.check()

    # T-09
    def test_one_failure_fails_the_ticket(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)

        desk.fail(claim, "boom")

        failed = desk.now(ticket)
        assert (failed.status, failed.error_message) == ("failed", "boom")
        assert desk.data(ticket)[-2]["error_code"] == "dead_letter"
        assert desk.world.row(claim.task.id)["stage"] == "failed"
        assert desk.rows(ticket) == [(1, "ended", "dead_letter")]
        desk.check()

    # T-10
    def test_a_failure_with_a_try_left_is_told_and_the_next_one_fails_the_ticket(
        self, desk: Desk
    ) -> None:
        ticket = desk.assigned(dispatch=desk.retries(2))
        desk.fail(desk.claim(ticket), "boom")

        between = desk.now(ticket)
        assert (between.status, between.dispatch.state, between.dispatch.last_error) == (
            "in_progress",
            "queued",
            "boom",
        )
        assert between.dispatch.lease_expires_at_ms is None
        desk.fail(desk.claim(ticket), "boom again")
        assert desk.now(ticket).error_message == "boom again"
        assert desk.now(ticket).dispatch.attempt == 2
        desk.check()

    # T-11
    def test_a_ticket_can_be_blocked_instead_and_begin_anew(self, desk: Desk) -> None:
        ticket = desk.assigned(dispatch=DispatchSettings(on_dead_letter="block"))
        desk.fail(desk.claim(ticket), "boom")

        blocked = desk.now(ticket)
        assert (blocked.status, blocked.blocked_kind, blocked.status_reason) == (
            "blocked",
            "input",
            "boom",
        )
        assert blocked.dispatch.state == "held"
        assert desk.world.claims(agent=desk.agent_id) == []

        again = desk.move(ticket, "in_progress")

        assert (again.dispatch.state, again.dispatch.generation) == ("queued", 2)
        assert desk.rows(ticket) == [(1, "ended", "dead_letter"), (2, "queued", None)]
        desk.world.transition(desk.claim(ticket))
        assert desk.now(ticket).status == "done"
        desk.check()

    @pytest.mark.parametrize(
        ("trigger", "status", "message"),
        [
            ("approve", "done", None),
            ("reject", "failed", "No good"),
            ("drop", "cancelled", None),
        ],
    )
    def test_the_last_stage_says_how_the_ticket_ends(
        self, trigger: str, status: str, message: str | None, desk: Desk
    ) -> None:
        ticket = desk.reviewed(REVIEWED)
        desk.world.transition(desk.claim(ticket), "submit")
        between = desk.now(ticket)
        assert (between.status, between.dispatch.stage, between.dispatch.agent_id) == (
            "in_progress",
            "review",
            "r1",
        )

        desk.world.transition(desk.world.claim("reviewer", "r1"), trigger)

        assert (desk.now(ticket).status, desk.now(ticket).error_message) == (status, message)
        desk.check()

    def test_the_workspace_can_say_what_a_stage_means(self, desk: Desk) -> None:
        ticket = desk.reviewed(REVIEWED)
        desk.settings(stage_outcomes={"accepted": "cancelled"})
        desk.world.transition(desk.claim(ticket), "submit")

        desk.world.transition(desk.world.claim("reviewer", "r1"), "approve")

        assert desk.now(ticket).status == "cancelled"
        assert desk.data(ticket)[-1]["trigger"] == "run_cancelled"

    def test_who_works_in_a_stage_of_another_agents_ticket_is_in_use(self, desk: Desk) -> None:
        ticket = desk.reviewed(REVIEWED)
        desk.world.transition(desk.claim(ticket), "submit")

        assert refusal(desk.do.agents.delete, desk.workspace_id, "r1") == "agent_in_use"
        desk.world.transition(desk.world.claim("reviewer", "r1"), "approve")
        desk.do.agents.delete(desk.workspace_id, "r1")

    def test_a_stage_for_which_there_is_nobody_waits_for_somebody(self, desk: Desk) -> None:
        ticket = desk.reviewed(REVIEWED, reviewer=False)
        desk.world.transition(desk.claim(ticket), "submit")

        waiting = desk.now(ticket)
        assert (waiting.status, waiting.dispatch.state, waiting.dispatch.wait_reason) == (
            "in_progress",
            "waiting",
            "no_agent_for_role",
        )
        assert desk.world.claims("reviewer", "r1") == []
        desk.check()
        desk.agent("r1", "reviewer")
        desk.sweep()

        assert desk.now(ticket).dispatch.state == "queued"
        desk.world.transition(desk.world.claim("reviewer", "r1"), "approve")
        assert desk.now(ticket).status == "done"
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


class TestBlocked:
    # T-29
    def test_an_agent_blocks_its_ticket_and_ends_the_same_run(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket, lease_ttl_ms=1_000)
        desk.report(claim, "ticket.blocked", reason="no key")

        blocked = desk.now(ticket)
        assert (blocked.status, blocked.blocked_kind, blocked.status_reason) == (
            "blocked",
            "input",
            "no key",
        )
        assert (blocked.execution_locked_at, blocked.dispatch.state) == (None, "held")
        assert desk.data(ticket)[-1]["trigger"] == "blocker_reported"

        assert desk.move(ticket, "in_progress").dispatch.state == "claimed"
        desk.world.transition(claim)
        assert desk.now(ticket).status == "done"
        desk.check()

    # T-29
    def test_nobody_claims_a_blocked_ticket_whose_lease_ran_out(self, desk: Desk) -> None:
        ticket = desk.assigned()
        desk.report(desk.claim(ticket, lease_ttl_ms=100), "ticket.blocked", reason="r")
        desk.pass_time(ms=1_000)

        assert desk.world.claims(agent=desk.agent_id) == []
        assert desk.now(ticket).dispatch.state == "held"
        assert desk.move(ticket, "in_progress").dispatch.state == "queued"
        assert desk.claim(ticket).run.attempt == 2
        desk.check()

    def test_the_agent_lets_it_go_on_itself(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.unblocked")
        assert desk.now(ticket).version == 2
        desk.report(claim, "ticket.blocked", reason="r")

        desk.report(claim, "ticket.unblocked")

        assert desk.now(ticket).dispatch.state == "claimed"
        assert desk.data(ticket)[-1]["trigger"] == "agent"
        desk.check()

    # T-30
    def test_the_end_of_the_last_blocker_lets_it_go_on(self, desk: Desk) -> None:
        blocker, ticket = desk.start(desk.ticket()), desk.assigned()
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.blocked", reason="r", blocked_by_ticket_id=blocker.id)
        blocked = desk.now(ticket)
        assert (blocked.blocked_kind, blocked.blocked_by) == ("dependency", [blocker.id])
        desk.report(claim, "ticket.unblocked")
        assert refusal(desk.world.transition, claim) == "ticket_blocked"
        assert desk.now(ticket) == blocked

        desk.move(blocker, "done")

        assert desk.now(ticket).dispatch.state == "claimed"
        assert desk.told(ticket)[len(desk.told(ticket)) - 1 :] == [
            ("TicketStatusChanged", blocked.version + 1, "system")
        ]
        assert desk.data(ticket)[-1]["trigger"] == "blocker_resolved"
        desk.world.transition(claim)
        assert desk.now(ticket).status == "done"
        desk.check()

    @pytest.mark.parametrize("of", ["itself", "nothing", "circle"])
    def test_a_blocker_that_cannot_be_is_told_in_the_channel(self, of: str, desk: Desk) -> None:
        ticket = desk.assigned()
        other = desk.ticket()
        if of == "circle":
            desk.link(ticket, "blocks", other)
        blocker_id = {"itself": ticket.id, "nothing": "x", "circle": other.id}[of]
        claim = desk.claim(ticket)

        desk.report(claim, "ticket.blocked", reason="r", blocked_by_ticket_id=blocker_id)

        assert desk.now(ticket).blocked_kind == "input"
        assert any(said.startswith("Not linked with") for said in desk.said(ticket))
        desk.check()

    def test_the_end_of_a_run_whose_ticket_waits_for_a_word_comes_nevertheless(
        self, desk: Desk
    ) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.blocked", reason="r")

        desk.world.transition(claim)

        assert [kind for kind, _, _ in desk.told(ticket)[-4:]] == [
            "TicketStatusChanged",
            "TicketStatusChanged",
            "TicketCompleted",
            "TicketStatusChanged",
        ]
        assert desk.now(ticket).status == "done"
        desk.check()

    @pytest.mark.parametrize("attempts", [1, 2])
    def test_a_failure_leaves_a_blocked_ticket_blocked(self, attempts: int, desk: Desk) -> None:
        ticket = desk.assigned(dispatch=desk.retries(attempts))
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.blocked", reason="r")

        desk.fail(claim, "boom")

        blocked = desk.now(ticket)
        assert (blocked.status, blocked.dispatch.state) == ("blocked", "held")
        assert (blocked.status_reason, blocked.dispatch.last_error) == ("r", "boom")
        again = desk.move(ticket, "in_progress")
        assert again.dispatch.generation == (2 if attempts == 1 else 1)
        desk.world.transition(desk.claim(ticket))
        assert desk.now(ticket).status == "done"
        desk.check()

    def test_what_an_event_cannot_mean_is_passed_over(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        before = desk.now(ticket)
        odd: list[tuple[str, Any]] = [
            ("ticket.comment", {"body": ""}),
            ("ticket.comment", {"body": 1}),
            ("ticket.comment", {"body": "b", "kind": "k"}),
            ("ticket.comment", {"body": "b", "kind": []}),
            ("ticket.output", {}),
            ("ticket.output", 7),
            ("ticket.unknown", {}),
            ("step", None),
        ]

        for kind, data in odd:
            desk.report_raw(claim, kind, data)

        assert desk.now(ticket) == before
        desk.report_raw(claim, "ticket.comment", {"body": "found it", "kind": "thinking"})
        assert desk.said(ticket)[-1] == "found it"
        desk.report(claim, "ticket.blocked", reason=7)
        assert desk.now(ticket).status == "blocked"
        desk.check()


class TestWaiting:
    # T-19
    def test_a_blocked_ticket_starts_when_its_blocker_is_done(self, desk: Desk) -> None:
        blocker, ticket = desk.start(desk.ticket()), desk.ticket()
        desk.link(blocker, "blocks", ticket)

        waiting = desk.assign(ticket, desk.agent_id)
        assert (waiting.status, waiting.dispatch.state, waiting.dispatch.wait_reason) == (
            "open",
            "waiting",
            "blocked_by_dependency",
        )
        assert waiting.version == 2
        desk.move(blocker, "done")

        assert desk.now(ticket).dispatch.state == "queued"
        desk.check()

    # T-20
    def test_a_blocker_that_failed_is_in_the_way_until_the_link_goes(self, desk: Desk) -> None:
        blocker, ticket = desk.start(desk.ticket()), desk.ticket()
        link_id = desk.link(blocker, "blocks", ticket)
        desk.assign(ticket, desk.agent_id)

        desk.move(blocker, "failed", error_message="e")
        assert desk.now(ticket).dispatch.wait_reason == "blocked_by_dependency"
        desk.do.links.remove(desk.scope, blocker.id, link_id)

        assert desk.now(ticket).dispatch.state == "queued"
        desk.check()

    # T-31
    def test_the_more_important_ticket_goes_first_when_the_agent_is_free(
        self, desk: Desk
    ) -> None:
        desk.agent(desk.agent_id, max_active_tickets=1)
        first = desk.assigned()
        later = desk.assigned(priority="low")
        urgent = desk.assigned(priority="high")
        assert {desk.now(each).dispatch.wait_reason for each in (later, urgent)} == {
            "agent_busy"
        }

        desk.world.transition(desk.claim(first))

        assert desk.now(urgent).dispatch.state == "queued"
        assert desk.now(later).dispatch.wait_reason == "agent_busy"
        assert desk.events(urgent)[-1].caused_by == desk.events(first)[-1].id
        desk.check()

    # T-32
    def test_what_waits_for_a_paused_workspace_starts_when_it_goes_on(self, desk: Desk) -> None:
        desk.workspace(status="paused")
        ticket = desk.assigned()
        assert ticket.dispatch.wait_reason == "workspace_paused"

        desk.workspace(status="active")

        assert desk.now(ticket).dispatch.state == "queued"
        desk.check()

    def test_what_runs_goes_on_in_a_paused_workspace(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.workspace(status="paused")
        desk.agent(desk.agent_id, enabled=False)

        desk.world.transition(claim)

        assert desk.now(ticket).status == "done"

    def test_an_agent_that_can_work_again_gets_what_waited_for_it(self, desk: Desk) -> None:
        desk.agent(desk.agent_id, enabled=False)
        ticket = desk.assigned()
        assert ticket.dispatch.wait_reason == "agent_unavailable"
        assert desk.refused_start(ticket) == "not_ready"

        desk.agent(desk.agent_id)

        assert desk.now(ticket).dispatch.state == "queued"

    def test_a_pipeline_whose_beginning_is_nobodys_is_waited_for(self, desk: Desk) -> None:
        definition = {
            "initial": "idea",
            "states": {"idea": {}, "done": {"terminal": True}},
            "transitions": [{"from": "idea", "to": "done", "trigger": "t"}],
        }
        settings = DispatchSettings(pipeline_id=desk.world.pipeline(definition))

        ticket = desk.assigned(dispatch=settings)
        assert ticket.dispatch.wait_reason == "pipeline_unavailable"

        patched = desk.patch(ticket, dispatch=DispatchSettings(pipeline_id=None))
        assert desk.dispatch(patched).dispatch.state == "queued"

    def test_a_dead_letter_stage_that_the_pipeline_lacks_is_waited_for(
        self, desk: Desk
    ) -> None:
        settings = desk.retries(1, dead_letter_stage="nowhere")
        assert desk.assigned(dispatch=settings).dispatch.wait_reason == "pipeline_unavailable"

    def test_a_member_of_the_team_takes_it_who_has_least_to_do(self, desk: Desk) -> None:
        members = [desk.agent_id, desk.other_agent_id]
        desk.do.teams.put(desk.workspace_id, "t", TeamDocument(name="t", agent_ids=members))

        found = [desk.ticket(assigned_team_id="t") for _ in range(3)]

        assert [each.assigned_agent_id for each in found] == [*members, members[0]]
        assert [kind for kind, _, _ in desk.told(found[0])].count("TicketAssigned") == 1
        desk.check()

    @pytest.mark.parametrize(
        ("agents", "reason"),
        [
            ([], "no_agent_for_role"),
            ([{"enabled": False}], "agent_unavailable"),
            ([{"enabled": False}, {"max_active_tickets": 1}], "agent_busy"),
        ],
    )
    def test_a_team_of_which_nobody_can_is_waited_for(
        self, agents: list[Json], reason: str, desk: Desk
    ) -> None:
        ids = [f"m{n}" for n in range(len(agents))]
        for id_, fields in zip(ids, agents, strict=True):
            desk.agent(id_, **fields)
            if fields.get("max_active_tickets"):
                desk.ticket(assigned_agent_id=id_)
        desk.do.teams.put(desk.workspace_id, "t", TeamDocument(name="t", agent_ids=ids))

        ticket = desk.ticket(assigned_team_id="t")

        assert ticket.dispatch.wait_reason == reason
        desk.check()

    def test_what_nothing_told_of_is_found_by_a_sweep(self, desk: Desk) -> None:
        desk.workspace(status="paused")
        ticket, other = desk.assigned(), desk.assigned()
        with desk.world.db.write() as tx, tx.raw() as connection:
            connection.execute("UPDATE workspaces SET status = 'active'")

        desk.sweep()
        desk.sweep()

        assert {desk.now(each).dispatch.state for each in (ticket, other)} == {"queued"}
        assert len(desk.rows(ticket)) == 1
        desk.check()

    def test_dispatch_is_for_open_tickets_that_somebody_is_to_work_on(self, desk: Desk) -> None:
        ticket = desk.ticket()
        assert refusal(desk.dispatch, ticket) == "not_assigned"
        started = desk.assign(ticket, desk.agent_id)
        assert desk.dispatch(ticket) == started
        desk.move(ticket, "blocked", reason="r")
        assert refusal(desk.dispatch, ticket) == "invalid_transition"


def test_the_work_of_a_workspace_can_have_a_pipeline_and_tries_of_its_own(desk: Desk) -> None:
    pipeline_id = desk.world.pipeline(REVIEWED)
    settings = WorkspaceDispatch(pipeline_id=pipeline_id, retry_policy=desk.policy(3))
    desk.do.workspaces.change(desk.workspace_id, WorkspaceChanges(dispatch=settings))

    ticket = desk.assigned()

    assert (ticket.dispatch.pipeline_id, ticket.dispatch.stage) == (pipeline_id, "coding")
    assert desk.task(ticket)["max_attempts"] == 3


def test_another_role_finds_the_nearest_agent(desk: Desk) -> None:
    for id_ in ("r1", "r2", "r3"):
        desk.agent(id_, "reviewer")
    desk.do.teams.put(desk.workspace_id, "t", TeamDocument(name="t", agent_ids=["r2"]))
    definition = {**REVIEWED, "initial": "review"}
    settings = DispatchSettings(pipeline_id=desk.world.pipeline(definition))

    found = [desk.assigned(dispatch=settings) for _ in range(3)]
    helped = desk.ticket(dispatch=settings)
    desk.collaborator(helped, "r3")
    helped = desk.assign(helped, desk.agent_id)

    assert [each.dispatch.agent_id for each in found] == ["r1", "r2", "r3"]
    assert helped.dispatch.agent_id == "r3"
    assert helped.assigned_agent_id == desk.agent_id
    desk.check()
