"""Every path of tickets and workspaces, in the order of docs/api.md."""

from __future__ import annotations

from dataclasses import dataclass

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.lifecycle.operations.agents import AgentOperations
from tickets.lifecycle.operations.events import EventOperations
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.transitions import TransitionOperations
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.lifecycle.operations.workspaces import WorkspaceOperations
from tickets.lifecycle.resources import tickets as ticket
from tickets.lifecycle.resources import workspaces as workspace
from tickets.tracker.operations.pipelines import Definitions
from tickets.web.routes import Route


@dataclass(frozen=True, slots=True)
class LifecycleOperations:
    """The operations on tickets, one object for each family."""

    workflow: TicketWorkflow
    workspaces: WorkspaceOperations
    agents: AgentOperations
    tickets: TicketOperations
    transitions: TransitionOperations
    events: EventOperations


def build_lifecycle(db: Database, clock: Clock) -> LifecycleOperations:
    """Build all operations on one database and one clock."""
    definitions = Definitions()
    workflow = TicketWorkflow(db, clock)
    return LifecycleOperations(
        workflow=workflow,
        workspaces=WorkspaceOperations(db, clock, definitions),
        agents=AgentOperations(db, clock),
        tickets=TicketOperations(db, workflow, definitions),
        transitions=TransitionOperations(db, workflow),
        events=EventOperations(db),
    )


def lifecycle_routes(do: LifecycleOperations) -> list[Route]:
    """Return the routes of tickets and workspaces."""
    agents = "/workspaces/{workspace_id}/agents"
    return [
        Route("/workspaces", workspace.WorkspaceCollection(do.workspaces)),
        Route("/workspaces/{workspace_id}", workspace.WorkspaceItem(do.workspaces)),
        Route(agents, workspace.AgentCollection(do.agents)),
        Route(f"{agents}/{{agent_id}}", workspace.AgentItem(do.agents)),
        Route("/tickets", ticket.TicketCollection(do.tickets)),
        Route("/tickets/{ticket_id}", ticket.TicketItem(do.tickets)),
        Route("/tickets/{ticket_id}/transition", ticket.TicketTransition(do.transitions)),
        Route("/tickets/{ticket_id}/events", ticket.TicketEvents(do.events)),
    ]
