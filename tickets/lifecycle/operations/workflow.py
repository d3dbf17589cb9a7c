"""The one place that writes tickets: every change goes through ``mutate`` or ``create``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol

import msgspec

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import Conflict, NotFound, TicketsError, Unauthorized
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.events import Event, Notes, events_of
from tickets.lifecycle.domain.expectations import NOTHING, Expectations
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import check_invariants
from tickets.lifecycle.operations.channels import say_status
from tickets.lifecycle.operations.rows import entered_to_write, found_ticket
from tickets.tracker.operations.access import lease_of_run
from tickets.web.answers import encode

TICKET_EVENTS_TOPIC = "ticket-events"

Change = Callable[[Transaction, TicketState, Notes], None]
# What changes of several tickets at once bring about, in their order.
Later = list[Callable[[Transaction], None]]


class Follower(Protocol):
    """Does what a change brings about, in its transaction and right after it."""

    def follow(
        self, tx: Transaction, before: TicketState | None, after: TicketState, notes: Notes
    ) -> None:
        """Look at a change that was made; ``notes.caused_by`` is its last event by now."""


class TicketWorkflow:
    """Creates and changes tickets, tells of it, and lets follow what follows."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._followers: list[Follower] = []
        self._patient: list[Follower] = []

    def add_follower(self, follower: Follower, *, is_patient: bool = False) -> None:
        """Let ``follower`` look at every change from now on, after those added before.

        A patient one comes after the others, and may come after further changes.
        """
        (self._patient if is_patient else self._followers).append(follower)

    def create(
        self, scope: Scope, make: Callable[[Transaction, Row, Notes], TicketState]
    ) -> TicketState:
        """Store the ticket that ``make`` returns, given the workspace and the notes."""
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            workspace = entered_to_write(tx, scope)
            notes = Notes(actor=scope.actor, now_ms=now_ms)
            ticket = make(tx, workspace, notes)
            check_invariants(ticket)
            tx.run("tickets.create", **msgspec.structs.asdict(ticket))
            self._tell(tx, None, ticket, notes)
            return self._followed(tx, None, ticket, notes)

    def mutate(
        self,
        scope: Scope,
        ticket_id: str,
        change: Change,
        *,
        expectations: Expectations = NOTHING,
        caused_by: int | None = None,
        later: Later | None = None,
    ) -> TicketState:
        """Let ``change`` write to a copy of a ticket, and store what came of it.

        A copy that is as before changes nothing and tells nothing. What patient followers do
        is left to the caller where there is a list for it. Raises WorkspaceNotFound,
        AgentNotFound (the actor), TicketNotFound, WorkspaceArchived, what the expectations
        raise, and what ``change`` raises.
        """
        with self._db.write() as tx:
            tx.hold("tickets.lock_task", ticket_id=ticket_id)
            tx.hold("tickets.lock", ticket_id=ticket_id, workspace_id=scope.workspace_id)
            now_ms = self._clock.now_ms()
            before = found_to_change(tx, scope, ticket_id)
            notes = Notes(actor=scope.actor, now_ms=now_ms, caused_by=caused_by)
            if scope.lease_hash is not None:
                notes.actor = self._prove(tx, before, scope.lease_hash)
                notes.is_holder = True
            expectations.check(before)
            after = copy.copy(before)
            change(tx, after, notes)
            say_status(tx, before, after, now_ms=now_ms)
            check_invariants(after)
            told = events_of(before, after, notes)
            if not told and after == before:
                return before
            if told:
                after.version += 1
                after.updated_at_ms = now_ms
            _store(tx, before, after)
            self._tell(tx, before, after, notes, told)
            return self._followed(tx, before, after, notes, later)

    def _prove(self, tx: Transaction, ticket: TicketState, lease_hash: bytes) -> str:
        """Return the agent whose lease on the ticket's task this is.

        Raises Unauthorized, LeaseExpired.
        """
        # Also where it was taken back: its agent is told that the lease is over.
        row = tx.one("ticket_dispatches.get", ticket_id=ticket.id, generation=ticket.generation)
        if row is None or row["run_id"] is None:
            raise Unauthorized("This is not the lease token of the ticket's run")
        try:
            lease_of_run(tx, row["run_id"], holder=lease_hash, clock=self._clock)
        except NotFound as error:
            raise Unauthorized("The run of this lease token is over") from error
        return f"agent:{row['agent_id']}"

    def _tell(
        self,
        tx: Transaction,
        before: TicketState | None,
        after: TicketState,
        notes: Notes,
        told: list[Event] | None = None,
    ) -> None:
        for event in events_of(before, after, notes) if told is None else told:
            notes.last_event_id = tx.value(
                "ticket_events.append",
                workspace_id=after.workspace_id,
                ticket_id=after.id,
                type=event.type,
                version=after.version,
                actor=notes.actor,
                now_ms=notes.now_ms,
                caused_by=notes.caused_by,
                data_json=encode(event.data).decode(),
            )
        tx.wake(TICKET_EVENTS_TOPIC)

    def _followed(
        self,
        tx: Transaction,
        before: TicketState | None,
        after: TicketState,
        notes: Notes,
        later: Later | None = None,
    ) -> TicketState:
        """Let all followers look at a change; return the ticket as it is after that."""

        def follow(tx: Transaction) -> None:
            for follower in self._patient:
                follower.follow(tx, before, after, notes)

        for follower in self._followers:
            follower.follow(tx, before, after, notes)
        if later is None:
            follow(tx)
        else:
            later.append(follow)
        if not self._followers and not self._patient:
            return after
        return found_ticket(tx, after.workspace_id, after.id)


def found_to_change(tx: Transaction, scope: Scope, ticket_id: str) -> TicketState:
    """Return a ticket that may be written to, looking at all in the order of the contract."""
    archived: TicketsError | None = None
    try:
        entered_to_write(tx, scope)
    except Conflict as error:
        archived = error
    ticket = found_ticket(tx, scope.workspace_id, ticket_id)
    if archived is not None:
        raise archived
    return ticket


def _store(tx: Transaction, before: TicketState, after: TicketState) -> None:
    columns = msgspec.structs.asdict(after)
    for name in ("created_by", "created_at_ms", "pipeline_run_id"):
        assert columns.pop(name) == getattr(before, name), f"{name} never changes"
    written = tx.run("tickets.update", **columns, stored_version=before.version)
    assert written == 1, "the row was locked and read in this transaction"
