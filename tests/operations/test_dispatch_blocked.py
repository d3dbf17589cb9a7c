"""Tickets that are blocked while agents work on them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dispatching import Desk
from tests.worlds import World, refusal


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


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

        # Data that was left out is an empty object.
        desk.report_raw(claim, "ticket.unblocked", None)

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

    @pytest.mark.parametrize("of", ["itself", "nothing", "circle", "number"])
    def test_a_blocker_that_cannot_be_is_told_in_the_channel(self, of: str, desk: Desk) -> None:
        ticket = desk.assigned()
        other = desk.ticket()
        if of == "circle":
            desk.link(ticket, "blocks", other)
        blockers = {"itself": ticket.id, "nothing": "x", "circle": other.id, "number": 7}
        blocker_id = blockers[of]
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

    def test_what_an_event_cannot_mean_is_passed_over_and_told_once(self, desk: Desk) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        before, said = desk.now(ticket), desk.said(ticket)
        odd: list[tuple[str, Any, str]] = [
            ("ticket.comment", {"body": ""}, "data.body"),
            ("ticket.comment", {"body": 1}, "data.body"),
            ("ticket.comment", {"text": "b"}, "data.body"),
            ("ticket.comment", {"body": "b", "kind": "k"}, "data.kind"),
            ("ticket.comment", {"body": "b", "kind": []}, "data.kind"),
            ("ticket.comment", None, "data.body"),
            ("ticket.output", {}, "data.output"),
            ("ticket.output", 7, "an object"),
            ("ticket.unknown", {}, "ticket.blocked, ticket.unblocked"),
        ]

        for kind, data, problem in odd:
            desk.report_raw(claim, kind, data)
            told = [text for text in desk.said(ticket) if kind in text and problem in text]
            assert len(told) == 1, (kind, data, desk.said(ticket))
        desk.report_raw(claim, "step", None)

        assert desk.now(ticket) == before
        assert len(desk.said(ticket)) == len(said) + 5
        desk.report_raw(claim, "ticket.comment", {"body": "found it", "kind": "thinking"})
        assert desk.said(ticket)[-1] == "found it"
        desk.report(claim, "ticket.blocked", reason=7)
        assert desk.now(ticket).status == "blocked"
        desk.check()

    def test_a_block_of_what_is_blocked_is_told(self, desk: Desk) -> None:
        ticket, other = desk.assigned(), desk.ticket()
        claim = desk.claim(ticket)
        desk.report(claim, "ticket.blocked", reason="r")

        desk.report(claim, "ticket.blocked", reason="s", blocked_by_ticket_id=other.id)

        assert desk.now(ticket).status_reason == "r"
        assert desk.said(ticket)[-1] == (
            "Passed over ticket.blocked: the ticket is blocked already"
        )
        desk.check()

    def test_what_is_passed_over_is_no_refusal_in_an_archived_workspace(
        self, desk: Desk
    ) -> None:
        ticket = desk.assigned()
        claim = desk.claim(ticket)
        desk.workspace(status="archived")

        desk.report(claim, "ticket.unknown")

        assert not any("unknown" in text for text in desk.said(ticket))
