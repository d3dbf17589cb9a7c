"""Tickets that wait: the next one for an agent who is free, and all of them now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from tickets.db.database import Collision, Database, Row, Transaction
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.dispatch import TicketDispatcher
from tickets.lifecycle.operations.following import (
    MAX_FOLLOWING,
    Following,
    refusals_passed_over,
)
from tickets.lifecycle.operations.readiness import Ready, TicketReadiness, role_in
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.tracker.operations.pipelines import Definitions

# Rows that a sweep looks at in one read, and in all; it goes on from there the next time.
PAGE_ROWS: Final = 50
SWEEP_ROWS: Final = 500


class Waiting:
    """Looks at tickets that wait where something changed that they may have waited for."""

    def __init__(
        self, readiness: TicketReadiness, dispatcher: TicketDispatcher, *, is_inline: bool
    ) -> None:
        self._readiness = readiness
        self._dispatcher = dispatcher
        self._is_inline = is_inline

    def follow(
        self, tx: Transaction, before: TicketState | None, after: TicketState, notes: Notes
    ) -> None:
        """Look at a change that was made: it may have left an agent with less to do."""
        if before is None:
            return
        if before.priority != after.priority and after.dispatch_state == "dispatched":
            self._dispatcher.set_priority(tx, after)
        was_at_work = before.dispatch_state == "dispatched" and before.status == "in_progress"
        is_at_work = after.status == "in_progress" and after.generation == before.generation
        if was_at_work and not is_at_work:
            row = tx.one(
                "ticket_dispatches.get", ticket_id=after.id, generation=before.generation
            )
            assert row is not None, "it was dispatched"
            self.next_for(
                tx, after.workspace_id, row["agent_id"], caused_by=notes.last_event_id
            )

    def next_for(
        self, tx: Transaction, workspace_id: str, agent_id: str, *, caused_by: int | None
    ) -> None:
        """Start the most important ticket that waits and is ready, now that this agent is."""
        for ticket in self._candidates(tx, workspace_id, agent_id):
            if self._try(tx, ticket, caused_by):
                return

    def all_of(self, tx: Transaction, workspace_id: str) -> None:
        """Start what waits in a workspace and is ready, the most important first."""
        for ticket in self._candidates(tx, workspace_id, None):
            self._try(tx, ticket, None)

    def _candidates(
        self, tx: Transaction, workspace_id: str, agent_id: str | None
    ) -> Iterable[TicketState]:
        if not self._is_inline:
            return
        found = tx.many(
            "tickets.waiting_in",
            workspace_id=workspace_id,
            agent_id=agent_id,
            limit=MAX_FOLLOWING,
        )
        for row in found:
            yield rows.found_ticket(tx, workspace_id, row["id"])

    def _try(self, tx: Transaction, ticket: TicketState, caused_by: int | None) -> bool:
        if not has_news(self._readiness.look(tx, ticket), ticket):
            return False
        with refusals_passed_over(), tx.savepoint():
            self._dispatcher.attempt(tx, ticket, caused_by=caused_by)
        return rows.found_ticket(tx, ticket.workspace_id, ticket.id).status != "open"


class Sweep:
    """Comes back to whatever waits, for what no change told of: each in its own transaction."""

    def __init__(
        self,
        db: Database,
        workflow: TicketWorkflow,
        definitions: Definitions,
        readiness: TicketReadiness,
        dispatcher: TicketDispatcher,
        following: Following,
    ) -> None:
        self._db = db
        self._workflow = workflow
        self._definitions = definitions
        self._readiness = readiness
        self._dispatcher = dispatcher
        self._following = following
        self._place = _START

    def sweep_tickets(self) -> None:
        """Start, place or let go on what can by now. Raises what the service cannot do."""
        self.start_waiting()
        self.place_waiting()
        self.unblock()

    def start_waiting(self) -> None:
        """Start open tickets that are ready; note why others still wait."""
        for _ in range(SWEEP_ROWS // PAGE_ROWS):
            with self._db.read() as tx:
                page = tx.many("tickets.waiting", **self._place, limit=PAGE_ROWS)
                due = [row for row in page if self._is_due(tx, row)]
            for row in due:
                self._alone(row, self._attempt)
            if len(page) < PAGE_ROWS:
                self._place = _START
                return
            last = page[-1]
            self._place = {
                "after_workspace_id": last["workspace_id"],
                "after_priority": last["priority"],
                "after_created_at_ms": last["created_at_ms"],
                "after_id": last["id"],
            }

    def place_waiting(self) -> None:
        """Find somebody for tasks in stages for which there was nobody."""
        self._each(
            lambda tx, after_seq: tx.many(
                "ticket_dispatches.waiting", after_seq=after_seq, limit=PAGE_ROWS
            ),
            self._has_somebody,
            self._put,
        )

    def unblock(self) -> None:
        """Let tickets go on which other ones blocked that do no longer."""
        self._each(
            lambda tx, after_seq: tx.many(
                "tickets.dependent", after_seq=after_seq, limit=PAGE_ROWS
            ),
            lambda tx, row: not rows.is_blocked(tx, row["id"]),
            self._look_again,
        )

    def _each(
        self,
        read: Callable[[Transaction, int], list[Row]],
        is_due: Callable[[Transaction, Row], bool],
        work: Callable[[Transaction, Row], None],
    ) -> None:
        """Do work for the rows that are due, in the order of their ``seq``, page by page."""
        after_seq = 0
        for _ in range(SWEEP_ROWS // PAGE_ROWS):
            with self._db.read() as tx:
                page = read(tx, after_seq)
                due = [row for row in page if is_due(tx, row)]
            for row in due:
                self._alone(row, work)
            if len(page) < PAGE_ROWS:
                return
            after_seq = page[-1]["seq"]

    def _alone(self, row: Row, work: Callable[[Transaction, Row], None]) -> None:
        """Do work for one ticket; a refusal is for the next sweep to look at again."""
        with suppress(Collision), refusals_passed_over(), self._db.write() as tx:
            work(tx, row)

    def _is_due(self, tx: Transaction, row: Row) -> bool:
        ticket = rows.found_ticket(tx, row["workspace_id"], row["id"])
        return has_news(self._readiness.look(tx, ticket), ticket)

    def _attempt(self, tx: Transaction, row: Row) -> None:
        ticket = rows.found_ticket(tx, row["workspace_id"], row["id"])
        self._dispatcher.attempt(tx, ticket, caused_by=None)

    def _has_somebody(self, tx: Transaction, row: Row) -> bool:
        ticket = rows.found_ticket(tx, row["workspace_id"], row["ticket_id"])
        role = role_in(self._definitions.get(tx, row["pipeline_id"]), row["stage"])
        return role is not None and not isinstance(
            self._readiness.executor(tx, ticket, role), str
        )

    def _put(self, _tx: Transaction, row: Row) -> None:
        def change(tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            live = tx.one("ticket_dispatches.live", ticket_id=ticket.id)
            if live is not None and live["state"] == "waiting":
                self._dispatcher.place(tx, ticket, live, live["stage"])

        scope = Scope(workspace_id=row["workspace_id"], actor=SYSTEM)
        self._workflow.mutate(scope, row["ticket_id"], change)

    def _look_again(self, tx: Transaction, row: Row) -> None:
        self._following.look_again(tx, row["workspace_id"], row["id"], caused_by=None)


def has_news(found: object, ticket: TicketState) -> bool:
    """Tell whether a look at a ticket that waits found something else than it waits for."""
    return isinstance(found, Ready) or found != ticket.wait_reason


_START: Final[dict[str, int | str]] = {
    "after_workspace_id": "",
    "after_priority": 5,
    "after_created_at_ms": -1,
    "after_id": "",
}
