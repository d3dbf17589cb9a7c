"""Every path of tickets and workspaces, in the order of docs/api.md."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.ledger.operations.feed import LedgerFeed
from tickets.lifecycle.linear.client import DEFAULT_URL, Key, LinearClient
from tickets.lifecycle.linear.transport import Transport, post
from tickets.lifecycle.operations.agents import AgentOperations
from tickets.lifecycle.operations.applying import Applying
from tickets.lifecycle.operations.assignments import AssignmentOperations
from tickets.lifecycle.operations.collaborators import CollaboratorOperations
from tickets.lifecycle.operations.comments import CommentOperations
from tickets.lifecycle.operations.dispatch import MANAGER, TicketDispatcher
from tickets.lifecycle.operations.dispatching import Deferred
from tickets.lifecycle.operations.events import EventOperations
from tickets.lifecycle.operations.following import Following
from tickets.lifecycle.operations.health import SyncHealth
from tickets.lifecycle.operations.hooks import TicketTasks
from tickets.lifecycle.operations.inbox import Inbox
from tickets.lifecycle.operations.integrations import IntegrationOperations
from tickets.lifecycle.operations.links import LinkOperations
from tickets.lifecycle.operations.lists import TicketLists
from tickets.lifecycle.operations.mirrors import Integration
from tickets.lifecycle.operations.outbox import Outbox
from tickets.lifecycle.operations.pushing import Pushing
from tickets.lifecycle.operations.readiness import TicketReadiness
from tickets.lifecycle.operations.reconcile import Reconcile
from tickets.lifecycle.operations.reports import Reports
from tickets.lifecycle.operations.sweeping import Sweep, Waiting
from tickets.lifecycle.operations.sync import SyncOperations
from tickets.lifecycle.operations.takeover import Takeover
from tickets.lifecycle.operations.teams import TeamOperations
from tickets.lifecycle.operations.telling import LedgerFollower
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.transitions import TransitionOperations
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.lifecycle.operations.workspaces import WorkspaceOperations
from tickets.lifecycle.resources import assignments as assignment
from tickets.lifecycle.resources import integrations as linear_integration
from tickets.lifecycle.resources import parts as part
from tickets.lifecycle.resources import sync as ticket_sync
from tickets.lifecycle.resources import tickets as ticket
from tickets.lifecycle.resources import workspaces as workspace
from tickets.lifecycle.resources.events import EventFeed, TicketEvents
from tickets.lifecycle.resources.teams import TeamCollection, TeamItem
from tickets.lifecycle.resources.webhooks import LinearWebhook
from tickets.lifecycle.vault import Vault
from tickets.tracker.operations.managers import Managers
from tickets.tracker.routes import Operations
from tickets.web.routes import Route


@dataclass(frozen=True, slots=True)
class LifecycleOperations:
    """The operations on tickets, one object for each family."""

    workflow: TicketWorkflow
    workspaces: WorkspaceOperations
    agents: AgentOperations
    teams: TeamOperations
    tickets: TicketOperations
    lists: TicketLists
    assignments: AssignmentOperations
    links: LinkOperations
    collaborators: CollaboratorOperations
    comments: CommentOperations
    transitions: TransitionOperations
    events: EventOperations
    sweep: Sweep
    integrations: IntegrationOperations
    inbox: Inbox
    sync: SyncOperations
    pushing: Pushing
    reconcile: Reconcile


def build_lifecycle(
    db: Database,
    clock: Clock,
    tracker: Operations,
    managers: Managers,
    ledger: LedgerFeed | None = None,
    *,
    dispatch_inline: bool = True,
    linear_url: str = DEFAULT_URL,
    linear: Transport = post,
    random_unit: Callable[[], float] = random.random,
    vault: Vault,
) -> LifecycleOperations:
    """Build all operations on one database and one clock, above a tracker.

    ``ledger`` is told of tickets. Without ``dispatch_inline`` tickets that were assigned start
    with the next sweep. ``linear`` carries requests to Linear, at ``linear_url``; ``vault``
    opens what they have to show.
    """
    definitions = tracker.definitions
    workflow = TicketWorkflow(db, clock)
    readiness = TicketReadiness(definitions)
    dispatcher = TicketDispatcher(
        workflow,
        readiness,
        definitions,
        pipelines=tracker.pipelines,
        creation=tracker.creation,
        managed=tracker.managed,
    )
    waiting = Waiting(readiness, dispatcher, is_inline=dispatch_inline)
    reports = Reports(workflow, dispatcher)
    told = LedgerFollower(ledger if ledger is not None else LedgerFeed())
    managers.add(MANAGER, TicketTasks(workflow, dispatcher, reports, waiting, told))
    following = Following(
        workflow, dispatcher if dispatch_inline else Deferred(workflow, dispatcher)
    )
    # Before whatever follows, so that the ledger hears of all in the order of the changes.
    workflow.add_follower(told)
    outbox = Outbox()
    workflow.add_follower(outbox)
    workflow.add_follower(waiting, is_patient=True)
    workflow.add_follower(following, is_patient=True)
    tickets = TicketOperations(db, workflow, definitions, outbox)
    assignments = AssignmentOperations(db, workflow, dispatcher, tickets)
    transitions = TransitionOperations(db, workflow, dispatcher, assignments)
    takeover = Takeover(db, tickets, assignments, transitions)
    applying = Applying(workflow, tickets, takeover, outbox)
    comments = CommentOperations(db, workflow)
    inbox = Inbox(db, clock, applying, comments, vault)
    health = SyncHealth(db, clock)

    def client(integration: Integration) -> LinearClient:
        key = Key(integration.auth_kind, vault.open(integration.sealed_key))
        return LinearClient(key, clock, url=linear_url, transport=linear)

    return LifecycleOperations(
        workflow=workflow,
        workspaces=WorkspaceOperations(db, clock, definitions, waiting),
        agents=AgentOperations(db, clock, waiting),
        teams=TeamOperations(db, clock, waiting),
        tickets=tickets,
        lists=TicketLists(db),
        assignments=assignments,
        links=LinkOperations(db, workflow, dispatcher),
        collaborators=CollaboratorOperations(db, workflow),
        comments=comments,
        transitions=transitions,
        events=EventOperations(db),
        sweep=Sweep(db, workflow, definitions, readiness, dispatcher, following),
        integrations=IntegrationOperations(db, clock, client, vault, health),
        inbox=inbox,
        sync=SyncOperations(db, clock, outbox, applying),
        pushing=Pushing(db, clock, applying, client, random_unit, health),
        reconcile=Reconcile(db, clock, inbox, applying, client, health),
    )


def lifecycle_routes(do: LifecycleOperations) -> list[Route]:
    """Return the routes of tickets and workspaces."""
    agents, teams = "/workspaces/{workspace_id}/agents", "/workspaces/{workspace_id}/teams"
    one = "/tickets/{ticket_id}"
    return [
        Route("/workspaces", workspace.WorkspaceCollection(do.workspaces)),
        Route("/workspaces/{workspace_id}", workspace.WorkspaceItem(do.workspaces)),
        Route(agents, workspace.AgentCollection(do.agents)),
        Route(f"{agents}/{{agent_id}}", workspace.AgentItem(do.agents)),
        Route(teams, TeamCollection(do.teams)),
        Route(f"{teams}/{{team_id}}", TeamItem(do.teams)),
        Route("/tickets", ticket.TicketCollection(do.tickets, do.lists)),
        Route(one, ticket.TicketItem(do.tickets)),
        Route(f"{one}/transition", ticket.TicketTransition(do.transitions)),
        Route(f"{one}/assign", assignment.TicketAssign(do.assignments)),
        Route(f"{one}/unassign", assignment.TicketUnassign(do.assignments)),
        Route(f"{one}/delegate", assignment.TicketDelegate(do.assignments)),
        Route(f"{one}/dispatch", assignment.TicketDispatch(do.assignments)),
        Route(f"{one}/dispatches", assignment.TicketDispatches(do.lists)),
        Route(f"{one}/labels", part.TicketLabels(do.collaborators)),
        Route(f"{one}/labels/{{label}}", part.TicketLabel(do.collaborators)),
        Route(f"{one}/collaborators", part.CollaboratorCollection(do.collaborators)),
        Route(
            f"{one}/collaborators/{{collaborator_id}}", part.CollaboratorItem(do.collaborators)
        ),
        Route(f"{one}/links", part.LinkCollection(do.links)),
        Route(f"{one}/links/{{link_id}}", part.LinkItem(do.links)),
        Route(f"{one}/comments", part.CommentCollection(do.comments)),
        Route(f"{one}/channel", part.ChannelItem(do.comments)),
        Route(f"{one}/events", TicketEvents(do.events)),
        Route("/ticket-events", EventFeed(do.events)),
        *_linear_routes(do),
    ]


def _linear_routes(do: LifecycleOperations) -> list[Route]:
    linear = "/workspaces/{workspace_id}/integrations/linear"
    return [
        Route("/tickets/{ticket_id}/sync", ticket_sync.TicketSync(do.sync)),
        Route("/tickets/{ticket_id}/sync/resolve", ticket_sync.TicketSyncResolution(do.sync)),
        Route(linear, linear_integration.LinearIntegration(do.integrations)),
        Route(f"{linear}/verify", linear_integration.LinearVerification(do.integrations)),
        Route(f"{linear}/reconcile", linear_integration.LinearReconciliation(do.integrations)),
        Route(f"{linear}/outbox", linear_integration.LinearOutbox(do.integrations)),
        Route("/webhooks/linear/{workspace_id}", LinearWebhook(do.inbox)),
    ]
