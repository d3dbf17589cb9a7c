"""Tickets that wait until they can start."""

from __future__ import annotations

import pytest

from tests.dispatching import Desk
from tests.factories import Json
from tests.worlds import World, refusal
from tickets.lifecycle.domain.documents import (
    DispatchSettings,
    TeamDocument,
    WorkspaceChanges,
    WorkspaceDispatch,
)

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


class TestCascades:
    def test_nothing_begins_that_is_called_off_in_a_moment(self, desk: Desk) -> None:
        desk.agent(desk.agent_id, max_active_tickets=1)
        parent = desk.assigned()
        children = [desk.assigned(parent_ticket_id=parent.id) for _ in range(3)]
        desk.link(children[0], "blocks", children[1])
        beside = desk.assigned(priority="low")

        desk.move(parent, "cancelled", cascade=True)

        assert [desk.now(each).status for each in children] == ["cancelled"] * 3
        assert [desk.now(each).dispatch.generation for each in children] == [0] * 3
        # Whoever has nothing in hand now goes on beside it, and at once.
        assert desk.now(beside).dispatch.state == "queued"
        desk.check()

    def test_what_children_blocked_begins_when_the_last_of_them_was_called_off(
        self, desk: Desk
    ) -> None:
        parent = desk.ticket()
        beside = desk.ticket()
        for _ in range(3):
            desk.link(desk.ticket(parent_ticket_id=parent.id), "blocks", beside)
        desk.assign(beside, desk.agent_id)

        desk.move(parent, "cancelled", cascade=True)

        assert desk.now(beside).dispatch.state == "queued"
        desk.check()
