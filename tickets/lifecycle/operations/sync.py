"""How single tickets stand to their issues, and what people can do about it."""

from __future__ import annotations

import json
from typing import Any

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.sync_documents import ResolveRequest
from tickets.lifecycle.domain.sync_records import SyncDetails
from tickets.lifecycle.errors import NoConflict, NotSynced
from tickets.lifecycle.linear.merge import differing
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.applying import Applying
from tickets.lifecycle.operations.integrations import outbox_row
from tickets.lifecycle.operations.mirrors import (
    found_integration,
    in_their_words,
    plain_values,
)
from tickets.lifecycle.operations.outbox import OUTBOX_TOPIC, Outbox
from tickets.lifecycle.operations.synced import sync_of


class SyncOperations:
    """Reads and repairs the sync of one ticket."""

    def __init__(self, db: Database, clock: Clock, outbox: Outbox, applying: Applying) -> None:
        self._db = db
        self._clock = clock
        self._outbox = outbox
        self._applying = applying

    def get(self, scope: Scope, ticket_id: str) -> SyncDetails:
        """Return how a ticket's sync stands.

        Raises WorkspaceNotFound, TicketNotFound, NotSynced.
        """
        with self._db.read() as tx:
            rows.entered(tx, scope)
            ticket = rows.found_ticket(tx, scope.workspace_id, ticket_id)
            return _details(tx, ticket)

    def retry(self, scope: Scope, ticket_id: str) -> SyncDetails:
        """Send again what was given up, and then read the issue.

        Raises WorkspaceNotFound, WorkspaceArchived, TicketNotFound, NotSynced.
        """
        with self._db.write() as tx:
            ticket, shadow = self._locked(tx, scope, ticket_id)
            now_ms = self._clock.now_ms()
            if not shadow["is_detached"]:
                tx.run("sync_outbox.revive", ticket_id=ticket_id, now_ms=now_ms)
                tx.run("sync_outbox.hurry", ticket_id=ticket_id, now_ms=now_ms)
                tx.run("sync_shadow.ask_to_pull", ticket_id=ticket_id, now_ms=now_ms)
                tx.wake(OUTBOX_TOPIC)
            return _details(tx, ticket)

    def resolve(self, scope: Scope, ticket_id: str, document: ResolveRequest) -> Ticket:
        """End a conflict in favour of one side.

        Raises WorkspaceNotFound, WorkspaceArchived, TicketNotFound, NotSynced, NoConflict,
        InvalidStatusTransition.
        """
        with self._db.write() as tx:
            ticket, shadow = self._locked(tx, scope, ticket_id)
            now_ms = self._clock.now_ms()
            if shadow["conflict_json"] is None or shadow["is_detached"]:
                raise NoConflict
            if document.prefer == "local":
                self._prefer_local(tx, ticket, shadow, now_ms)
            else:
                integration = found_integration(tx, scope.workspace_id)
                self._applying.prefer_remote(tx, integration, ticket, shadow)
            tx.run("sync_shadow.set_conflict", ticket_id=ticket_id, conflict_json=None)
            return rows.ticket(tx, rows.found_ticket(tx, scope.workspace_id, ticket_id))

    def _prefer_local(
        self, tx: Transaction, ticket: TicketState, shadow: Row, now_ms: int
    ) -> None:
        integration = found_integration(tx, ticket.workspace_id)
        values = plain_values(ticket)
        fields = differing(
            local=in_their_words(tx, ticket.workspace_id, values),
            remote=json.loads(shadow["fields_json"]),
            workflow=integration.workflow,
        )
        if fields:
            self._outbox.update(tx, ticket, {each: values[each] for each in fields}, now_ms)

    def _locked(self, tx: Transaction, scope: Scope, ticket_id: str) -> tuple[TicketState, Row]:
        """Return a ticket that nobody else changes now, and its shadow."""
        tx.hold("tickets.lock", ticket_id=ticket_id, workspace_id=scope.workspace_id)
        rows.entered_to_write(tx, scope)
        ticket = rows.found_ticket(tx, scope.workspace_id, ticket_id)
        shadow = tx.one("sync_shadow.get", ticket_id=ticket_id)
        if shadow is None:
            raise NotSynced
        return ticket, shadow


def _details(tx: Transaction, ticket: TicketState) -> SyncDetails:
    sync = sync_of(tx, ticket)
    if sync is None:
        raise NotSynced
    shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
    assert shadow is not None, "what is synced has a shadow"
    fields: dict[str, Any] = json.loads(shadow["fields_json"])
    queue = tx.many("sync_outbox.open_of_ticket", ticket_id=ticket.id)
    dead = tx.many("sync_outbox.dead_of_ticket", ticket_id=ticket.id)
    pending = sorted([*queue, *dead], key=lambda row: int(row["id"]))
    return SyncDetails(sync=sync, shadow=fields, pending=[outbox_row(row) for row in pending])
