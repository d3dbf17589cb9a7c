"""Assigning, unassigning, delegating and starting tickets."""

from __future__ import annotations

import copy

from tickets.db.database import Database, Transaction
from tickets.lifecycle.domain.actors import Scope, agent_of
from tickets.lifecycle.domain.documents import AssignRequest, DelegateRequest, NewTicket
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.expectations import NOTHING, Expectations
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import (
    ExecutionLocked,
    InvalidStatusTransition,
    NotAssigned,
    NotReady,
    TicketTerminal,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.assigning import assign, check_may_delegate
from tickets.lifecycle.operations.dispatching import Dispatcher
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.workflow import Change, TicketWorkflow


class AssignmentOperations:
    """Who works on a ticket, and when that begins."""

    def __init__(
        self,
        db: Database,
        workflow: TicketWorkflow,
        dispatcher: Dispatcher,
        tickets: TicketOperations,
    ) -> None:
        self._db = db
        self._workflow = workflow
        self._dispatcher = dispatcher
        self._tickets = tickets

    def assign(
        self,
        scope: Scope,
        ticket_id: str,
        document: AssignRequest,
        *,
        expectations: Expectations,
    ) -> Ticket:
        """Give a ticket to an agent or a team; it starts where that is ready.

        Raises as ``TicketWorkflow.mutate`` does, and AgentNotFound, TeamNotFound,
        TicketTerminal, NotAssignee, NotReady (in progress only), DelegationTooDeep.
        """

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            acting = agent_of(notes.actor)
            if acting is not None and acting != document.agent_id:
                check_may_delegate(tx, ticket, acting)
            self._give(tx, ticket, notes, document.agent_id, document.team_id, None)

        return self._changed(scope, ticket_id, change, expectations)

    def unassign(self, scope: Scope, ticket_id: str, *, expectations: Expectations) -> Ticket:
        """Let nobody be meant to work on a ticket.

        Raises as ``TicketWorkflow.mutate`` does, and TicketTerminal, ExecutionLocked.
        """

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if ticket.is_terminal:
                raise TicketTerminal
            if ticket.execution_locked_at_ms is not None:
                raise ExecutionLocked
            before = copy.copy(ticket)
            ticket.assigned_agent_id = ticket.assigned_team_id = None
            ticket.delegated_by_agent_id = None
            if ticket.status == "blocked" and before.is_assigned:
                self._dispatcher.reassign(tx, before, ticket, notes)
            elif ticket.dispatch_state == "waiting":
                ticket.dispatch_state, ticket.wait_reason = "none", None

        return self._changed(scope, ticket_id, change, expectations)

    def delegate(
        self,
        scope: Scope,
        ticket_id: str,
        document: DelegateRequest,
        *,
        expectations: Expectations,
    ) -> tuple[Ticket, bool]:
        """Hand a ticket, or a new child of it, from one agent to another.

        Tells whether that made a ticket. Raises as ``assign`` and ``TicketOperations.create``
        do, and InvalidDelegation.
        """
        by, child = document.delegated_by_agent_id, document.child

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            rows.found_agent(tx, ticket.workspace_id, by)
            if ticket.is_terminal:
                raise TicketTerminal
            check_may_delegate(tx, ticket, by)
            if child is None:
                self._give(tx, ticket, notes, document.agent_id, None, by)

        if child is None:
            return self._changed(scope, ticket_id, change, expectations), False
        with self._db.write():
            self._changed(scope, ticket_id, change, expectations)
            made = NewTicket(
                title=child.title,
                description=child.description,
                priority=child.priority,
                labels=child.labels,
                mode=child.mode,
                expected_output_schema=child.expected_output_schema,
                parent_ticket_id=ticket_id,
                assigned_agent_id=document.agent_id,
                delegated_by_agent_id=by,
            )
            return self._tickets.create(scope, made), True

    def dispatch(self, scope: Scope, ticket_id: str) -> Ticket:
        """Try to start an open ticket; it waits where it is not ready.

        Raises as ``TicketWorkflow.mutate`` does, and NotAssigned, InvalidStatusTransition
        (blocked or ended).
        """
        with self._db.write() as tx:
            ticket = self._look(scope, ticket_id, NOTHING)
            if ticket.status == "in_progress":
                return rows.ticket(tx, ticket)
            check_startable(ticket)
            self._dispatcher.attempt(tx, ticket, caused_by=None)
            return rows.ticket(tx, rows.found_ticket(tx, scope.workspace_id, ticket_id))

    def start(self, scope: Scope, ticket_id: str, *, expectations: Expectations) -> Ticket:
        """Start an open ticket, or leave it as it was.

        Raises as ``dispatch`` does, and NotReady.
        """
        with self._db.write() as tx:
            ticket = self._look(scope, ticket_id, expectations)
            check_startable(ticket)
            self._dispatcher.attempt(tx, ticket, caused_by=None)
            started = rows.found_ticket(tx, scope.workspace_id, ticket_id)
            if started.status == "open":
                raise NotReady(f"The ticket cannot be started now: {started.wait_reason}")
            return rows.ticket(tx, started)

    def _look(self, scope: Scope, ticket_id: str, expectations: Expectations) -> TicketState:
        """Return a ticket that is locked and as expected."""
        return self._workflow.mutate(
            scope, ticket_id, lambda *_: None, expectations=expectations
        )

    def _give(
        self,
        tx: Transaction,
        ticket: TicketState,
        notes: Notes,
        agent_id: str | None,
        team_id: str | None,
        delegator: str | None,
    ) -> None:
        if ticket.is_terminal:
            raise TicketTerminal
        before = copy.copy(ticket)
        assign(tx, ticket, notes, agent_id=agent_id, team_id=team_id, delegator=delegator)
        is_same = (before.assigned_agent_id, before.assigned_team_id) == (
            ticket.assigned_agent_id,
            ticket.assigned_team_id,
        )
        if not is_same and ticket.status != "open":
            self._dispatcher.reassign(tx, before, ticket, notes)

    def _changed(
        self,
        scope: Scope,
        ticket_id: str,
        change: Change,
        expectations: Expectations,
    ) -> Ticket:
        with self._db.write() as tx:
            state = self._workflow.mutate(scope, ticket_id, change, expectations=expectations)
            return rows.ticket(tx, state)


def check_startable(ticket: TicketState) -> None:
    """Return where the ticket is open and somebody is to work on it.

    Raises InvalidStatusTransition, NotAssigned.
    """
    if ticket.status != "open":
        raise InvalidStatusTransition(f"A ticket that is {ticket.status} cannot be started")
    if not ticket.is_assigned:
        raise NotAssigned
