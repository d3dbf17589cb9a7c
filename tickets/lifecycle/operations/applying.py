"""Issues of Linear's applied to tickets: what is new in them, and what comes of it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import NewTicket
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import InvalidStatusTransition, WorkspaceArchived
from tickets.lifecycle.linear.issues import Issue, is_same
from tickets.lifecycle.linear.merge import differing, merge
from tickets.lifecycle.linear.states import State
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.mirrors import (
    LINEAR,
    Integration,
    in_their_words,
    plain_values,
    sent_values,
)
from tickets.lifecycle.operations.outbox import Outbox
from tickets.lifecycle.operations.takeover import Conflict, Takeover
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.web.answers import to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An issue as Linear told of it.

    ``agreed`` are values, as we have just sent them, to which this is the answer.
    """

    integration: Integration
    issue: Issue
    now_ms: int
    actor: str = LINEAR
    is_removed: bool = False
    agreed: dict[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """Where and as whom it is applied."""
        return Scope(workspace_id=self.integration.workspace_id, actor=self.actor)

    @property
    def is_gone(self) -> bool:
        """Whether the issue was thrown away."""
        return self.is_removed or self.issue.trashed

    def is_stale(self, seen_ms: int | None) -> bool:
        """Tell whether the issue of this time, or a later one, is known.

        Two changes of our own can have one time, and an answer comes after what it answers.
        """
        if seen_ms is None:
            return False
        updated_ms = self.issue.updated_at_ms
        return updated_ms < seen_ms or (updated_ms == seen_ms and not self.agreed)

    @property
    def status(self) -> str | None:
        """What the issue's state is to us."""
        return self.integration.workflow.status_of(self.issue.state)


class Applying:
    """Applies what Linear says; each method runs inside a write block of its caller."""

    def __init__(
        self,
        workflow: TicketWorkflow,
        tickets: TicketOperations,
        takeover: Takeover,
        outbox: Outbox,
    ) -> None:
        self._workflow = workflow
        self._tickets = tickets
        self._takeover = takeover
        self._outbox = outbox

    def issue(self, tx: Transaction, arrival: Arrival) -> str:
        """Apply an issue as it is in Linear; return what came of it in a word."""
        scope = arrival.scope
        found = tx.one("sync_shadow.ticket_of_issue", external_id=arrival.issue.id)
        if found is None:
            return self._imported(tx, arrival)
        if found["workspace_id"] != scope.workspace_id:
            return "ignored"
        tx.hold("tickets.lock", ticket_id=found["id"], workspace_id=scope.workspace_id)
        ticket = rows.found_ticket(tx, scope.workspace_id, found["id"])
        shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
        if shadow is None or shadow["is_detached"]:
            return "ignored"
        if arrival.is_gone:
            return self._removed(tx, scope, ticket)
        if arrival.is_stale(shadow["remote_updated_at_ms"]):
            return "stale"
        return self._merged(tx, arrival, self._keyed(arrival, ticket), shadow)

    def answer(self, tx: Transaction, arrival: Arrival) -> None:
        """Apply an issue that was asked for, where the workspace is not archived by now."""
        with suppress(WorkspaceArchived), tx.savepoint():
            self.issue(tx, arrival)

    def prefer_remote(
        self, tx: Transaction, integration: Integration, ticket: TicketState, shadow: Row
    ) -> None:
        """Let the ticket be as its issue was last. Raises InvalidStatusTransition."""
        issue = _known_issue(ticket, shadow)
        local = in_their_words(tx, ticket.workspace_id, plain_values(ticket))
        conflict = self._takeover.fields(
            tx,
            Scope(workspace_id=ticket.workspace_id, actor=LINEAR),
            ticket,
            issue,
            wanted=integration.workflow.status_of(issue.state),
            accept=differing(local=local, remote=issue.values(), workflow=integration.workflow),
        )
        if conflict is not None:
            raise InvalidStatusTransition(f"The ticket cannot follow: {conflict['code']}")

    def _imported(self, tx: Transaction, arrival: Arrival) -> str:
        """Make a ticket for an issue that has none, where that is wanted."""
        issue, integration = arrival.issue, arrival.integration
        is_ours = issue.team_id == integration.team_id
        if arrival.is_gone or not integration.import_issues or not is_ours:
            return "ignored"
        document = NewTicket(
            title=issue.title,
            description=issue.description,
            priority=issue.priority,  # type: ignore[arg-type]  # one of ours by construction
            labels=list(issue.labels),
            provider="linear",
        )
        made = self._tickets.create(arrival.scope, document, external_id=issue.id)
        ticket = rows.found_ticket(tx, made.workspace_id, made.id)
        shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
        assert shadow is not None, "it was opened with the ticket"
        self._merged(tx, arrival, self._keyed(arrival, ticket), shadow)
        return "created"

    def _removed(self, tx: Transaction, scope: Scope, ticket: TicketState) -> str:
        if not ticket.is_terminal:
            self._takeover.cancel(scope, ticket)
        tx.run("sync_shadow.detach", ticket_id=ticket.id)
        return "applied"

    def _keyed(self, arrival: Arrival, ticket: TicketState) -> TicketState:
        """Note under which name people find the issue."""
        issue = arrival.issue

        def change(_tx: Transaction, copy: TicketState, _notes: Notes) -> None:
            copy.external_key = issue.identifier or copy.external_key
            copy.url = issue.url or copy.url

        return self._workflow.mutate(arrival.scope, ticket.id, change)

    def _merged(
        self, tx: Transaction, arrival: Arrival, ticket: TicketState, shadow: Row
    ) -> str:
        """Decide field by field, and do it."""
        queue = tx.many("sync_outbox.open_of_ticket", ticket_id=ticket.id)
        local = in_their_words(tx, ticket.workspace_id, plain_values(ticket))
        found = merge(
            shadow=json.loads(shadow["fields_json"]),
            local=local,
            remote=arrival.issue.values(),
            workflow=arrival.integration.workflow,
            local_changed_at_ms=json.loads(shadow["changed_json"]),
            remote_at_ms=arrival.issue.updated_at_ms,
            sent=sent_values(tx, ticket.workspace_id, queue),
            agreed=frozenset(arrival.agreed),
        )
        accept, push = found.accept, found.push
        if arrival.status == "cancelled" and "status" in push and not ticket.is_terminal:
            # A cancel from either side beats everything, whatever the clocks say.
            accept, push = accept | {"status"}, push - {"status"}
        conflict = self._takeover.fields(
            tx, arrival.scope, ticket, arrival.issue, wanted=arrival.status, accept=accept
        )
        # What waits to be sent and lost to Linear's value is not sent any more.
        self._outbox.forget(tx, queue, accept, arrival.now_ms)
        push |= _overtaken(arrival, local, queue)
        if push:
            now = rows.found_ticket(tx, ticket.workspace_id, ticket.id)
            values = plain_values(now)
            self._outbox.update(tx, now, {each: values[each] for each in push}, arrival.now_ms)
        self._agree(tx, arrival, ticket, shadow, conflict)
        if conflict is not None:
            return "conflict"
        return "applied" if accept or push else "echo"

    def _agree(
        self,
        tx: Transaction,
        arrival: Arrival,
        ticket: TicketState,
        shadow: Row,
        conflict: Conflict | None,
    ) -> None:
        """Note the issue as it is; a conflict that is over goes, and any other stays."""
        if conflict is not None:
            conflict["at_ms"] = arrival.now_ms
        elif shadow["conflict_json"] is not None:
            conflict = json.loads(shadow["conflict_json"])
            now = rows.found_ticket(tx, ticket.workspace_id, ticket.id)
            left = differing(
                local=in_their_words(tx, now.workspace_id, plain_values(now)),
                remote=arrival.issue.values(),
                workflow=arrival.integration.workflow,
            )
            if conflict is not None and conflict["field"] not in left:
                conflict = None
        tx.run(
            "sync_shadow.agree",
            ticket_id=ticket.id,
            fields_json=to_json(arrival.issue.values()),
            remote_updated_at_ms=arrival.issue.updated_at_ms,
            conflict_json=None if conflict is None else to_json(conflict),
            now_ms=arrival.now_ms,
        )


def _overtaken(arrival: Arrival, local: dict[str, Any], queue: list[Row]) -> frozenset[str]:
    """Return the fields that Linear has from us and that are something else here by now.

    That is so where a change of Linear's was taken over while our older value was on its way.
    What is in the queue will be sent anyway.
    """
    waiting: set[str] = set()
    for row in queue:
        if row["state"] == "pending":
            waiting |= json.loads(row["payload_json"]).get("fields", {}).keys()
    return frozenset(
        name
        for name, value in arrival.agreed.items()
        if name not in waiting and not is_same(name, local[name], value)
    )


def _known_issue(ticket: TicketState, shadow: Row) -> Issue:
    """Return the issue as it was last, from what the shadow keeps of it."""
    fields = json.loads(shadow["fields_json"])
    assert ticket.external_id is not None, "a mirrored ticket has an issue"
    return Issue(
        id=ticket.external_id,
        identifier=ticket.external_key,
        url=ticket.url,
        updated_at_ms=shadow["remote_updated_at_ms"],
        team_id=None,
        trashed=False,
        title=fields["title"],
        description=fields["description"],
        priority=fields["priority"],
        state=State.read(fields["status"]),
        labels=tuple(fields["labels"]),
        assignee=fields["assignee"],
        parent=fields["parent"],
    )
