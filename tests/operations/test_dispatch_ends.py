"""What the end of a task makes of its ticket."""

from __future__ import annotations

import pytest

from tests.dispatching import Desk
from tests.factories import Json
from tests.worlds import World, looked_up, refusal
from tickets.errors import LeaseExpired
from tickets.lifecycle.domain.documents import (
    DispatchSettings,
)
from tickets.lifecycle.operations.transitions import MAX_OUTPUT_BYTES

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
        desk.check()

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

    @pytest.mark.parametrize(
        ("stage", "status", "state"),
        [
            ("Failed", "failed", "FAILED"),
            ("ABANDONED", "failed", "FAILED"),
            ("Canceled", "cancelled", "CANCELLED"),
            ("Shipped", "done", "COMPLETED"),
        ],
    )
    def test_ticket_and_task_end_the_same_way_however_the_stage_is_written(
        self, stage: str, status: str, state: str, desk: Desk
    ) -> None:
        ticket = desk.reviewed(
            {
                "initial": "work",
                "states": {"work": {"agent_role": "coder"}, stage: {"terminal": True}},
                "transitions": [{"from": "work", "to": stage, "trigger": "end"}],
            },
            reviewer=False,
        )
        claim = desk.claim(ticket)

        desk.world.transition(claim, "end")

        assert desk.now(ticket).status == status
        sql = "SELECT state FROM task_state_snapshot WHERE req = ?"
        for req in (f"task:{claim.task.id}", f"ticket:{ticket.id}"):
            assert [row[0] for row in looked_up(desk.world.db, sql, req)] == [state]

    def test_an_agent_whose_part_is_done_gets_the_next_ticket(self, desk: Desk) -> None:
        desk.agent(desk.agent_id, max_active_tickets=1)
        ticket = desk.reviewed(REVIEWED)
        after = desk.assigned()
        assert after.dispatch.wait_reason == "agent_busy"

        desk.world.transition(desk.claim(ticket), "submit")

        assert desk.now(after).dispatch.state == "queued"
        desk.check()

    def test_a_stage_can_be_done_again(self, desk: Desk) -> None:
        ticket = desk.reviewed(REVIEWED)
        first = desk.claim(ticket)

        desk.world.transition(first, "again")

        assert desk.now(ticket).dispatch.state == "queued"
        again = desk.claim(ticket)
        assert (again.task.id, again.run.attempt) == (first.task.id, 2)
        desk.check()

    @pytest.mark.parametrize("way", ["event", "transition"])
    def test_an_output_beyond_all_measure_is_refused(self, way: str, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        output = "x" * MAX_OUTPUT_BYTES
        before = desk.now(ticket)

        if way == "event":
            code = refusal(desk.report, claim, "ticket.output", output=output)
        else:
            code = refusal(desk.world.transition, claim, output=output)

        assert code == "payload_too_large"
        assert desk.now(ticket) == before
        desk.report(claim, "ticket.output", output=output[:-2])
        desk.check()

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
