"""Tickets: made, changed and read."""

from __future__ import annotations

import copy
from typing import Any, Final

from msgspec import UNSET

from tickets.db.database import Database, Row, Transaction
from tickets.errors import Invalid, InvalidJson
from tickets.ids import new_id
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import (
    DispatchSettings,
    NewTicket,
    TicketChanges,
    given_settings,
)
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.expectations import Expectations
from tickets.lifecycle.domain.outputs import parse_schema
from tickets.lifecycle.domain.records import Ticket, TicketDetails
from tickets.lifecycle.domain.state import (
    PRIORITIES,
    TicketState,
    check_writable,
    merged_labels,
)
from tickets.lifecycle.errors import InvalidSchema
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.assigning import assign
from tickets.lifecycle.operations.hierarchy import check_parent
from tickets.lifecycle.operations.outbox import Outbox
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.lifecycle.operations.workspaces import check_pipeline
from tickets.tracker.operations.pipelines import Definitions
from tickets.web.answers import to_json
from tickets.web.body import parse_object

# Schemas that are no objects, as a string says them.
_WORDS: Final = {"true": True, "false": False}


class TicketOperations:
    """Tickets themselves; what changes their status has operations of its own."""

    def __init__(
        self,
        db: Database,
        workflow: TicketWorkflow,
        definitions: Definitions,
        outbox: Outbox,
    ) -> None:
        self._db = db
        self._workflow = workflow
        self._definitions = definitions
        self._outbox = outbox

    def create(
        self, scope: Scope, document: NewTicket, *, external_id: str | None = None
    ) -> Ticket:
        """Make a ticket, open from the start; ``external_id`` is that of an issue there is.

        Raises WorkspaceNotFound, WorkspaceArchived, AgentNotFound, TeamNotFound,
        TicketNotFound (the parent), PipelineNotFound, InvalidSchema, InvalidDelegation,
        ParentTooDeep, DelegationTooDeep, IntegrationNotConfigured.
        """

        def make(tx: Transaction, _workspace: Row, notes: Notes) -> TicketState:
            ticket = _new(scope, document, notes.now_ms)
            ticket.external_id = external_id
            self._outbox.publish(tx, ticket)
            ticket.output_schema_json = schema_json
            if document.dispatch is not None:
                self._set_dispatch(tx, ticket, document.dispatch)
            if document.parent_ticket_id is not None:
                parent_id = document.parent_ticket_id
                check_parent(tx, scope.workspace_id, parent_id, ticket_id=None)
                ticket.parent_ticket_id = parent_id
            if document.assigned_agent_id or document.assigned_team_id:
                assign(
                    tx,
                    ticket,
                    notes,
                    agent_id=document.assigned_agent_id,
                    team_id=document.assigned_team_id,
                    delegator=document.delegated_by_agent_id,
                )
            return ticket

        schema_json = parse_schema(_read(document.expected_output_schema))

        with self._db.write() as tx:
            return rows.ticket(tx, self._workflow.create(scope, make))

    def get(self, scope: Scope, ticket_id: str) -> TicketDetails:
        """Return a ticket with what belongs to it. Raises WorkspaceNotFound, TicketNotFound."""
        with self._db.read() as tx:
            rows.entered(tx, scope)
            ticket = rows.found_ticket(tx, scope.workspace_id, ticket_id)
            return rows.ticket_details(tx, ticket)

    def change(
        self,
        scope: Scope,
        ticket_id: str,
        document: TicketChanges,
        *,
        expectations: Expectations,
    ) -> Ticket:
        """Change what is given and leave the rest.

        Raises as ``create`` and ``TicketWorkflow.mutate`` do, and TicketTerminal,
        ExecutionLocked, ParentCycle.
        """

        def change(tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            before = copy.copy(ticket)
            _apply(ticket, document)
            if document.expected_output_schema is not UNSET:
                ticket.output_schema_json = schema_json
            if document.parent_ticket_id is not UNSET:
                _set_parent(tx, ticket, document.parent_ticket_id)
            if document.dispatch is not UNSET:
                self._set_dispatch(tx, ticket, document.dispatch)
            check_writable(before, ticket)
            if ticket.provider != before.provider:
                self._outbox.publish(tx, ticket)

        given = document.expected_output_schema
        schema_json = parse_schema(None if given is UNSET else _read(given))
        with self._db.write() as tx:
            state = self._workflow.mutate(scope, ticket_id, change, expectations=expectations)
            return rows.ticket(tx, state)

    def _set_dispatch(
        self, tx: Transaction, ticket: TicketState, document: DispatchSettings
    ) -> None:
        """Take the settings that a document holds. Raises PipelineNotFound."""
        given = given_settings(document)
        if "pipeline_id" in given:
            check_pipeline(tx, self._definitions, given["pipeline_id"])
            ticket.dispatch_pipeline_id = given["pipeline_id"]
        if "retry_policy" in given:
            policy = given["retry_policy"]
            ticket.retry_policy_json = None if policy is None else to_json(policy)
        if "on_invalid_output" in given:
            ticket.on_invalid_output = given["on_invalid_output"]
        if "on_dead_letter" in given:
            ticket.on_dead_letter = given["on_dead_letter"]


def _new(scope: Scope, document: NewTicket, now_ms: int) -> TicketState:
    ticket = TicketState(
        id=new_id(),
        workspace_id=scope.workspace_id,
        title="",
        status="open",
        priority=PRIORITIES.index(document.priority) + 1,
        provider=document.provider,
        mode=document.mode,
        pipeline_run_id=document.pipeline_run_id,
        project_id=document.project_id,
        version=1,
        labels_json="[]",
        label_keys="",
        search_text="",
        dispatch_state="none",
        created_by=scope.actor,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    ticket.describe(document.title.strip(), document.description)
    ticket.name_labels(merged_labels(document.labels))
    return ticket


def _set_parent(tx: Transaction, ticket: TicketState, parent_id: str | None) -> None:
    if parent_id == ticket.parent_ticket_id:
        return
    if parent_id is not None:
        check_parent(tx, ticket.workspace_id, parent_id, ticket_id=ticket.id)
    ticket.parent_ticket_id = parent_id


def _apply(ticket: TicketState, document: TicketChanges) -> None:
    """Write to the ticket what a document holds, but for what wants the database."""
    title = ticket.title if document.title is UNSET else document.title.strip()
    description = ticket.description if document.description is UNSET else document.description
    ticket.describe(title, description)
    if document.priority is not UNSET:
        ticket.priority = PRIORITIES.index(document.priority) + 1
    if document.labels is not UNSET:
        ticket.name_labels(merged_labels(document.labels))
    if document.provider is not UNSET:
        ticket.provider = document.provider
    if document.mode is not UNSET:
        ticket.mode = document.mode
    if document.project_id is not UNSET:
        ticket.project_id = document.project_id


def _read(schema: Any) -> Any:
    """Return a schema that may be given as a string, which is read as strictly as a body.

    Raises InvalidSchema.
    """
    if not isinstance(schema, str):
        return schema
    if schema.strip() in _WORDS:
        return _WORDS[schema.strip()]
    try:
        return parse_object(schema.encode(errors="surrogatepass"))
    except (Invalid, InvalidJson) as error:
        raise InvalidSchema(f"The schema is a string that cannot be read: {error}") from error
