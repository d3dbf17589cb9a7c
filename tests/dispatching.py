"""A place with tickets that agents work on through the tracker, with short words."""

from __future__ import annotations

import json
from typing import Any, get_args

from tests.conftest import FrozenClock
from tests.factories import Json
from tests.tickets import TicketPlace
from tests.worlds import World, looked_up, refusal
from tickets.ids import hash_token
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import (
    AgentDocument,
    AssignRequest,
    DispatchSettings,
    EventQuery,
    NewCollaborator,
    StrictRetryPolicy,
    TicketChanges,
    TicketPageQuery,
    TicketQuery,
    TicketTransitionRequest,
    WorkspaceChanges,
    WorkspaceDispatch,
)
from tickets.lifecycle.domain.expectations import NOTHING
from tickets.lifecycle.domain.records import DispatchState, Ticket, TicketEvent
from tickets.tracker.domain.documents import FailRequest, NewEvent
from tickets.tracker.domain.records import Claim

# What holds of tickets, their dispatches and their tasks between transactions.
INVARIANTS = {
    "a ticket has at most one live dispatch, and none once it has ended": """
        SELECT t.id FROM tickets AS t
         WHERE (SELECT COUNT(*) FROM ticket_dispatches AS d
                 WHERE d.ticket_id = t.id AND d.ended_at_ms IS NULL)
             > CASE WHEN t.status IN ('in_progress', 'blocked') THEN 1 ELSE 0 END""",
    "a dispatched ticket in progress has a live dispatch of its generation": """
        SELECT t.id FROM tickets AS t
         WHERE t.status = 'in_progress' AND t.dispatch_state = 'dispatched'
           AND NOT EXISTS (SELECT 1 FROM ticket_dispatches AS d
                            WHERE d.ticket_id = t.id AND d.generation = t.generation
                              AND d.state IN ('queued', 'claimed', 'waiting'))""",
    "generations are 1, 2, 3 without gaps": """
        SELECT t.id FROM tickets AS t
         WHERE t.generation <> (SELECT COUNT(*) FROM ticket_dispatches AS d
                                 WHERE d.ticket_id = t.id)
            OR t.generation <> (SELECT COALESCE(MAX(d.generation), 0)
                                  FROM ticket_dispatches AS d WHERE d.ticket_id = t.id)""",
    "each managed task belongs to one dispatch": """
        SELECT k.id FROM tasks AS k LEFT JOIN ticket_dispatches AS d ON d.task_id = k.id
         WHERE (k.manager = 'tickets') IS DISTINCT FROM (d.task_id IS NOT NULL)
           AND (k.manager IS NOT NULL OR d.task_id IS NOT NULL)""",
    "the state of a live dispatch is that of its task": """
        SELECT d.task_id FROM ticket_dispatches AS d JOIN tasks AS k ON k.id = d.task_id
         WHERE d.ended_at_ms IS NULL
           AND (k.is_dead = 1 OR k.is_terminal = 1 OR k.stage <> d.stage
                OR k.is_held <> CASE WHEN d.state IN ('held', 'waiting') THEN 1 ELSE 0 END
                OR k.claim_assignee <> d.agent_id
                OR (d.state <> 'held'
                    AND k.is_leased <> CASE WHEN d.state = 'claimed' THEN 1 ELSE 0 END))""",
    "nobody can claim the task of a dispatch that ended": """
        SELECT d.task_id FROM ticket_dispatches AS d JOIN tasks AS k ON k.id = d.task_id
         WHERE d.ended_at_ms IS NOT NULL AND k.is_dead = 0 AND k.is_terminal = 0""",
    "the last status that was told is the status": """
        SELECT t.id FROM tickets AS t
         WHERE t.status <> COALESCE(
               (SELECT json(e.data_json) ->> 'to' FROM ticket_events AS e
                 WHERE e.ticket_id = t.id AND e.type = 'TicketStatusChanged'
                 ORDER BY e.id DESC LIMIT 1), 'open')""",
    "versions that were told are without gaps up to the version": """
        SELECT t.id FROM tickets AS t
         WHERE t.version <> (SELECT COUNT(DISTINCT e.version) FROM ticket_events AS e
                              WHERE e.ticket_id = t.id)""",
    "an agent has no more in hand than it may": """
        SELECT a.agent_id FROM workspace_agents AS a
         WHERE a.max_active_tickets < (
               SELECT COUNT(*) FROM ticket_dispatches AS d
                WHERE d.agent_id = a.agent_id AND d.ended_at_ms IS NULL
                  AND d.state IN ('queued', 'claimed'))""",
}


class Desk(TicketPlace):
    """A workspace with two coders, above the tracker of a world."""

    def __init__(self, world: World) -> None:
        super().__init__(world.lifecycle, at_work=True)
        self.world = world

    def assigned(self, **fields: Any) -> Ticket:
        """Create a ticket for the first agent."""
        return self.ticket(assigned_agent_id=self.agent_id, **fields)

    def reviewed(self, definition: Json, *, reviewer: bool = True) -> Ticket:
        """Create a ticket that two agents work on, one after the other."""
        if reviewer:
            self.agent("r1", "reviewer")
        pipeline_id = self.world.pipeline(definition)
        return self.assigned(dispatch=DispatchSettings(pipeline_id=pipeline_id))

    def agent(self, agent_id: str, role: str = "coder", **fields: Any) -> None:
        """Register an agent anew."""
        self.do.agents.put(self.workspace_id, agent_id, AgentDocument(role=role, **fields))

    def workspace(self, **fields: Any) -> None:
        """Change the workspace."""
        self.do.workspaces.change(self.workspace_id, WorkspaceChanges(**fields))

    def settings(self, **fields: Any) -> None:
        """Change how the workspace's tickets are worked on."""
        self.workspace(dispatch=WorkspaceDispatch(**fields))

    def policy(self, attempts: int, **fields: Any) -> StrictRetryPolicy:
        """Return a retry policy."""
        return StrictRetryPolicy(max_attempts=attempts, **fields)

    def retries(self, attempts: int, **fields: Any) -> DispatchSettings:
        """Return settings of a ticket with a retry policy."""
        return DispatchSettings(retry_policy=self.policy(attempts, **fields))

    def assign(self, ticket: Ticket, agent_id: str) -> Ticket:
        """Give a ticket to an agent."""
        document = AssignRequest(agent_id=agent_id)
        return self.do.assignments.assign(self.scope, ticket.id, document, expectations=NOTHING)

    def unassign(self, ticket: Ticket) -> Ticket:
        """Give a ticket to nobody."""
        return self.do.assignments.unassign(self.scope, ticket.id, expectations=NOTHING)

    def dispatch(self, ticket: Ticket) -> Ticket:
        """Try to start a ticket."""
        return self.do.assignments.dispatch(self.scope, ticket.id)

    def patch(self, ticket: Ticket, **fields: Any) -> Ticket:
        """Change a ticket."""
        document = TicketChanges(**fields)
        return self.do.tickets.change(self.scope, ticket.id, document, expectations=NOTHING)

    def collaborator(self, ticket: Ticket, agent_id: str) -> None:
        """Let an agent have a part in a ticket."""
        document = NewCollaborator(collaborator_id=agent_id)
        self.do.collaborators.add(self.scope, ticket.id, document)

    def refused_start(self, ticket: Ticket) -> str | None:
        """Ask for a ticket to be in progress; return the code of the refusal."""
        return refusal(self.move, ticket, "in_progress")

    def refused_as_agent(self, ticket: Ticket, to: Any) -> str | None:
        """Bring a ticket to a status as its agent, without a token."""
        return refusal(self._moved_as, self.as_agent(self.agent_id), ticket, to)

    def as_holder(self, ticket: Ticket, claim: Claim, to: Any, **fields: Any) -> Ticket:
        """Bring a ticket to a status with a lease token."""
        scope = Scope(workspace_id=self.workspace_id, lease_hash=hash_token(claim.lease_token))
        return self._moved_as(scope, ticket, to, **fields)

    def _moved_as(self, scope: Scope, ticket: Ticket, to: Any, **fields: Any) -> Ticket:
        document = TicketTransitionRequest(to=to, **fields)
        return self.do.transitions.transition(scope, ticket.id, document, expectations=NOTHING)

    def claim(self, ticket: Ticket, **fields: Any) -> Claim:
        """Claim the task of a ticket as the first agent."""
        claim = self.world.claim(agent=self.agent_id, **fields)
        assert claim.task.id == self.now(ticket).dispatch.task_id
        return claim

    def fail(self, claim: Claim, error: str) -> None:
        """Fail a run."""
        self.world.do.runs.fail(
            claim.run.id, FailRequest(error=error), holder=hash_token(claim.lease_token)
        )

    def report(self, claim: Claim, kind: str, **data: Any) -> None:
        """Add an event to a run."""
        self.report_raw(claim, kind, data)

    def report_raw(self, claim: Claim, kind: str, data: Any) -> None:
        """Add an event to a run, with any data."""
        holder = hash_token(claim.lease_token)
        self.world.do.events.append(
            claim.run.id, [NewEvent(kind=kind, data=data)], holder=holder
        )

    def sweep(self) -> None:
        """Look at all that waits, as housekeeping does."""
        self.do.sweep.sweep_tickets()

    def task(self, ticket: Ticket) -> Json:
        """Return the present task of a ticket as it is stored."""
        return self.world.row(str(self.now(ticket).dispatch.task_id))

    def output(self, ticket: Ticket) -> Any:
        """Return the output of a ticket."""
        found = self.now(ticket).output_json
        return None if found is None else json.loads(bytes(found))

    def pass_time(self, *, ms: int) -> None:
        """Move the clock."""
        assert isinstance(self.world.clock, FrozenClock)
        self.world.clock.advance(ms=ms)

    def metadata(self, ticket: Ticket) -> Json:
        """Return what the task says of its ticket."""
        found: Json = json.loads(self.task(ticket)["metadata_json"])
        return found

    def rows(self, ticket: Ticket) -> list[tuple[int, str, str | None]]:
        """Return generation, state and reason of the end of all tasks of a ticket."""
        page = self.do.lists.dispatches(self.scope, ticket.id, TicketPageQuery(limit=1000))
        return [(each.generation, each.state, each.end_reason) for each in page.items]

    def events(self, ticket: Ticket) -> list[TicketEvent]:
        """Return all events of a ticket."""
        query = EventQuery(limit=1000)
        return self.do.events.list_of_ticket(self.scope, ticket.id, query).items

    def told(self, ticket: Ticket) -> list[tuple[str, int, str]]:
        """Return type, version and actor of all events of a ticket."""
        return [(each.type, each.version, each.actor) for each in self.events(ticket)]

    def data(self, ticket: Ticket) -> list[Json]:
        """Return what the events of a ticket say."""
        return [json.loads(bytes(each.data)) for each in self.events(ticket)]

    def said(self, ticket: Ticket) -> list[str]:
        """Return what was said about a ticket."""
        query = TicketPageQuery(limit=1000)
        return [
            each.body
            for each in self.do.comments.list_of_ticket(self.scope, ticket.id, query).items
        ]

    def check(self) -> None:
        """Assert what holds of tickets, and of the tracker's tasks."""
        check_tickets(self.world)


def check_tickets(world: World, *, but: str | None = None) -> None:
    """Assert the invariants of tickets and of the tracker, perhaps without one of them."""
    assert but is None or but in INVARIANTS
    for name, sql in INVARIANTS.items():
        assert name == but or looked_up(world.db, sql) == [], name
    for row in looked_up(world.db, "SELECT id FROM workspaces"):
        check_lists(world, row[0])
    world.check()


def check_lists(world: World, workspace_id: str) -> None:
    """Assert that a filter finds the tickets which show what it asks for."""
    scope, lists = Scope(workspace_id=workspace_id), world.lifecycle.lists

    def found(**wanted: Any) -> list[Ticket]:
        return lists.page(scope, TicketQuery(limit=1000, **wanted), []).items

    shown = found()
    for state in get_args(DispatchState):
        expected = [each.id for each in shown if each.dispatch.state == state]
        assert [each.id for each in found(dispatch_state=state)] == expected, state
    for is_blocked in (False, True):
        expected = [each.id for each in shown if each.is_blocked == is_blocked]
        word = str(is_blocked).lower()
        assert [each.id for each in found(is_blocked=word)] == expected
