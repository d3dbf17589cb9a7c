"""Who is to work on a ticket: the rules that every way of saying so shares."""

from __future__ import annotations

from tickets.db.database import Transaction
from tickets.lifecycle.domain.actors import agent_of
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import InvalidDelegation, NotAssignee, TeamNotFound
from tickets.lifecycle.operations.hierarchy import delegation_depth
from tickets.lifecycle.operations.rows import found_agent


def assign(
    tx: Transaction,
    ticket: TicketState,
    notes: Notes,
    *,
    agent_id: str | None,
    team_id: str | None,
    delegator: str | None = None,
) -> None:
    """Give the ticket to an agent or a team, delegated where an agent does so.

    ``delegator`` is the agent in whose name a person does it. Raises AgentNotFound,
    TeamNotFound, InvalidDelegation, DelegationTooDeep.
    """
    if agent_id is not None:
        tx.hold("workspace_agents.lock", agent_id=agent_id)
        found_agent(tx, ticket.workspace_id, agent_id)
    if team_id is not None:
        check_team(tx, ticket.workspace_id, team_id)
    before = (ticket.assigned_agent_id, ticket.assigned_team_id)
    by = _delegator(tx, ticket, notes, agent_id, delegator)
    if before == (agent_id, team_id) and delegator is None:
        return
    ticket.assigned_agent_id, ticket.assigned_team_id = agent_id, team_id
    ticket.delegated_by_agent_id = by
    if by is not None:
        notes.delegation_depth = delegation_depth(tx, ticket.parent_ticket_id)


def _delegator(
    tx: Transaction,
    ticket: TicketState,
    notes: Notes,
    agent_id: str | None,
    delegator: str | None,
) -> str | None:
    """Return the agent who hands the ticket to another one, if there is one."""
    acting = agent_of(notes.actor)
    if delegator is None:
        return acting if agent_id is not None and acting != agent_id else None
    found_agent(tx, ticket.workspace_id, delegator)
    if delegator == agent_id or acting not in (None, delegator):
        raise InvalidDelegation
    return delegator


def check_team(tx: Transaction, workspace_id: str, team_id: str) -> None:
    """Return where the workspace has this team. Raises TeamNotFound."""
    if tx.one("workspace_teams.get", workspace_id=workspace_id, team_id=team_id) is None:
        raise TeamNotFound


def check_may_delegate(tx: Transaction, ticket: TicketState, agent_id: str) -> None:
    """Return where the agent works on the ticket or beside it. Raises NotAssignee."""
    if agent_id == ticket.assigned_agent_id:
        return
    row = tx.one("ticket_collaborators.get", ticket_id=ticket.id, collaborator_id=agent_id)
    if row is None:
        raise NotAssignee
