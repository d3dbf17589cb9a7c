"""What agents report of a ticket as events of their run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, get_args

from tickets.db.database import Row, Transaction
from tickets.errors import TicketsError
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.documents import MAX_COMMENT_CHARACTERS, CommentKind
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter
from tickets.lifecycle.errors import (
    DuplicateLink,
    InvalidLink,
    TicketNotFound,
    WorkspaceArchived,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.channels import add_comment, ensure_channel, say, say_once
from tickets.lifecycle.operations.dispatch import TicketDispatcher
from tickets.lifecycle.operations.links import add_link
from tickets.lifecycle.operations.transitions import check_output_size
from tickets.lifecycle.operations.workflow import Change, TicketWorkflow

REPORT_PREFIX: Final = "ticket."
NO_REASON: Final = "the agent gave no reason"
MAX_REASON_CHARACTERS: Final = 4_000
# A list, because what an agent sends may be anything, also what has no hash.
_KINDS: Final = list(get_args(CommentKind))

Report = Callable[[Transaction, Row, dict[str, Any]], None]


class Reports:
    """One method for each kind of event that means something to the ticket.

    An agent may write what it likes into its events: what cannot be meant is passed over, and
    the ticket's channel says so, once for each way in which it cannot.
    """

    def __init__(self, workflow: TicketWorkflow, dispatcher: TicketDispatcher) -> None:
        self._workflow = workflow
        self._dispatcher = dispatcher
        self._by_kind: dict[str, Report] = {
            "ticket.blocked": self._blocked,
            "ticket.unblocked": self._unblocked,
            "ticket.output": self._output,
            "ticket.comment": self._comment,
        }

    def take(self, tx: Transaction, row: Row, kind: str, data: Any) -> None:
        """Take an event of the run at work on the ticket whose kind begins as reports do."""
        report = self._by_kind.get(kind)
        if report is None:
            self._pass_over(row, kind, f"reports are {', '.join(self._by_kind)}")
        elif data is None or isinstance(data, dict):
            report(tx, row, data or {})
        else:
            self._pass_over(row, kind, "data must be an object")

    def _blocked(self, _tx: Transaction, row: Row, data: dict[str, Any]) -> None:
        """Block the ticket, by another one where the event names it."""
        reason = text_in(data, "reason")[:MAX_REASON_CHARACTERS] or NO_REASON
        blocker_id = data.get("blocked_by_ticket_id")

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if ticket.status != "in_progress":
                text = _passed_over("ticket.blocked", f"the ticket is {ticket.status} already")
                say_once(tx, ticket, text, now_ms=notes.now_ms)
                return
            before = copy.copy(ticket)
            is_linked = blocker_id is not None and link_blocker(tx, ticket, notes, blocker_id)
            enter(ticket, "blocked", now_ms=notes.now_ms)
            ticket.blocked_kind = "dependency" if is_linked else "input"
            ticket.status_reason = reason
            notes.trigger = "blocker_reported"
            if is_linked:
                # The other one may have ended before.
                notes.touched.append(ticket.id)
            self._dispatcher.leave(tx, before, ticket, notes)

        self._mutate(row, change)

    def _unblocked(self, tx: Transaction, row: Row, _data: dict[str, Any]) -> None:
        """Let the ticket go on, where no other one is in its way."""
        if rows.is_blocked(tx, row["ticket_id"]):
            return

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if ticket.status == "blocked":
                enter(ticket, "in_progress", now_ms=notes.now_ms)
                notes.trigger = "agent"
                self._dispatcher.resume(tx, ticket, notes)

        self._mutate(row, change)

    def _output(self, tx: Transaction, row: Row, data: dict[str, Any]) -> None:
        """Keep what is the output where the end of the run brings no other."""
        if "output" not in data:
            self._pass_over(row, "ticket.output", "data.output is required")
            return
        output_json = check_output_size(data["output"])
        tx.run("ticket_dispatches.draft", task_id=row["task_id"], output_json=output_json)

    def _comment(self, _tx: Transaction, row: Row, data: dict[str, Any]) -> None:
        """Say something about the ticket."""
        body, kind = data.get("body"), data.get("kind", "text")
        if not isinstance(body, str) or not 0 < len(body) <= MAX_COMMENT_CHARACTERS:
            problem = f"data.body must be a text of 1 to {MAX_COMMENT_CHARACTERS} characters"
            self._pass_over(row, "ticket.comment", problem)
            return
        if kind not in _KINDS:
            problem = f"data.kind must be one of {', '.join(_KINDS)}"
            self._pass_over(row, "ticket.comment", problem)
            return

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            ensure_channel(tx, ticket, now_ms=notes.now_ms)
            add_comment(tx, ticket, body, author=notes.actor, kind=kind, now_ms=notes.now_ms)

        self._mutate(row, change)

    def _pass_over(self, row: Row, kind: str, problem: str) -> None:
        """Say in the channel why a report means nothing; the event itself stands."""

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            say_once(tx, ticket, _passed_over(kind, problem), now_ms=notes.now_ms)

        # In an archived workspace nobody says anything any more.
        with suppress(WorkspaceArchived):
            scope = Scope(workspace_id=row["workspace_id"], actor=SYSTEM)
            self._workflow.mutate(scope, row["ticket_id"], change)

    def _mutate(self, row: Row, change: Change) -> None:
        scope = Scope(workspace_id=row["workspace_id"], actor=f"agent:{row['agent_id']}")
        self._workflow.mutate(scope, row["ticket_id"], change)


def link_blocker(tx: Transaction, ticket: TicketState, notes: Notes, blocker_id: Any) -> bool:
    """Let another ticket block this one, if it does not already; tell whether it does now.

    What is wrong with it is told in the ticket's channel, since the agent's event stands.
    """
    try:
        with tx.savepoint():
            if blocker_id == ticket.id:
                raise InvalidLink
            if not isinstance(blocker_id, str):
                raise TicketNotFound
            rows.found_ticket(tx, ticket.workspace_id, blocker_id)
            add_link(tx, ticket, notes, "blocks", blocker_id, ticket.id)
    except DuplicateLink:
        return True
    except TicketsError as error:
        if error.status >= 500:
            raise
        say(tx, ticket, f"Not linked with {str(blocker_id)[:64]}: {error}", now_ms=notes.now_ms)
        return False
    return True


def _passed_over(kind: str, problem: str) -> str:
    return f"Passed over {kind[:64]}: {problem}"


def text_in(data: dict[str, Any], name: str) -> str:
    """Return a text that an event may hold, else an empty one."""
    found = data.get(name)
    return found.strip() if isinstance(found, str) else ""
