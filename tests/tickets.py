"""Tickets in a workspace of their own, made through the operations, for tests of any layer."""

from __future__ import annotations

from typing import Any

from tests.factories import Json
from tickets.ids import new_id
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import (
    AgentDocument,
    NewCollaborator,
    NewComment,
    NewLink,
    NewTicket,
    NewWorkspace,
    TeamDocument,
    TicketTransitionRequest,
)
from tickets.lifecycle.domain.expectations import NOTHING
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.routes import LifecycleOperations

# In which the events of one change are told.
EVENT_ORDER = (
    "TicketCreated",
    "TicketDetailsUpdated",
    "TicketAssigned",
    "TicketReassigned",
    "TicketDelegated",
    "TicketCollaboratorAdded",
    "TicketStarted",
    "TicketCompleted",
    "TicketFailed",
    "TicketCancelled",
    "TicketStatusChanged",
)


class TicketPlace:
    """A workspace with two agents, and short words for what is done in it.

    The agents are off, so that tickets assigned to them wait; with ``at_work`` they start.
    """

    def __init__(
        self,
        do: LifecycleOperations,
        *,
        workspace_id: str | None = None,
        at_work: bool = False,
    ) -> None:
        self.do = do
        name = workspace_id or new_id()
        self.workspace_id = do.workspaces.create(NewWorkspace(id=name, name="w")).id
        self.scope = Scope(workspace_id=self.workspace_id)
        self.agent_id, self.other_agent_id = f"{name}-a", f"{name}-b"
        for agent_id in (self.agent_id, self.other_agent_id):
            document = AgentDocument(role="coder", enabled=at_work)
            do.agents.put(self.workspace_id, agent_id, document)

    def as_agent(self, agent_id: str) -> Scope:
        """Return the scope in which an agent acts."""
        return Scope(workspace_id=self.workspace_id, actor=f"agent:{agent_id}")

    def ticket(self, title: str = "t", **fields: Any) -> Ticket:
        """Create a ticket."""
        return self.do.tickets.create(self.scope, NewTicket(title=title, **fields))

    def move(self, ticket: Ticket, to: Any, **fields: Any) -> Ticket:
        """Bring a ticket to another status."""
        document = TicketTransitionRequest(to=to, **fields)
        return self.do.transitions.transition(
            self.scope, ticket.id, document, expectations=NOTHING
        )

    def start(self, ticket: Ticket) -> Ticket:
        """Let somebody outside work on a ticket."""
        return self.move(ticket, "in_progress", external=True)

    def now(self, ticket: Ticket) -> Ticket:
        """Return a ticket as it is now."""
        return self.do.tickets.get(self.scope, ticket.id)

    def link(self, source: Ticket, type_: Any, target: Ticket) -> str:
        """Link two tickets; return the link's id."""
        document = NewLink(type=type_, target_ticket_id=target.id)
        return self.do.links.add(self.scope, source.id, document).id

    def ids(self) -> Json:
        """Make a ticket that somebody works on, with all that can belong to one."""
        ticket = self.start(self.ticket(labels=["l"]))
        other, assigned = self.ticket(), self.ticket(assigned_agent_id=self.agent_id)
        self.do.teams.put(
            self.workspace_id, "free", TeamDocument(name="f", agent_ids=[self.agent_id])
        )
        free_id = f"{self.workspace_id}-free"
        self.do.agents.put(self.workspace_id, free_id, AgentDocument(role="none"))
        added = NewCollaborator(collaborator_id=self.other_agent_id)
        for each in (ticket, assigned):
            self.do.collaborators.add(self.scope, each.id, added)
            self.do.comments.add(self.scope, each.id, NewComment(body="b"))
        return {
            "workspace_id": self.workspace_id,
            "worker_id": self.agent_id,
            "agent_id": free_id,
            "team_id": "free",
            "ticket_id": ticket.id,
            "assigned_id": assigned.id,
            "other_id": other.id,
            "label": "l",
            "collaborator_id": self.other_agent_id,
            "link_id": self.link(ticket, "relatesTo", assigned),
        }
