"""The outbox: each change of a mirrored ticket becomes a row, in the change's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tickets.db.database import Row, Transaction
from tickets.ids import new_id
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import IntegrationNotConfigured
from tickets.lifecycle.linear.pace import merged
from tickets.lifecycle.operations.mirrors import LINEAR, issue_of, plain_values
from tickets.web.answers import to_json

OUTBOX_TOPIC: Final = "sync-outbox"

PAGE_ROWS: Final = 200
_RELATIONS: Final = {"blocks": "blocks", "relatesTo": "related", "duplicateOf": "duplicate"}


class Outbox:
    """Follows every change of a ticket and writes down what Linear has to hear of it."""

    def publish(self, tx: Transaction, ticket: TicketState) -> None:
        """Give a ticket that is to be mirrored the id that its issue will have.

        Raises IntegrationNotConfigured.
        """
        if ticket.provider != LINEAR:
            return
        is_enabled = tx.value(
            "integrations_linear.is_enabled", workspace_id=ticket.workspace_id
        )
        if is_enabled is None:
            raise IntegrationNotConfigured
        if ticket.external_id is None:
            ticket.external_id = new_id()

    def follow(
        self, tx: Transaction, before: TicketState | None, after: TicketState, notes: Notes
    ) -> None:
        """Write what a change wants Linear to hear, unless it was Linear who told us."""
        was_mirrored = before is not None and before.provider == LINEAR
        if after.provider != LINEAR:
            if was_mirrored:
                self._detach(tx, after, notes.now_ms)
            return
        is_theirs = notes.actor.partition(":")[0] == LINEAR
        if not was_mirrored:
            tx.run("sync_shadow.open", ticket_id=after.id, workspace_id=after.workspace_id)
            if not is_theirs:
                fields = {"fields": plain_values(after)}
                _add(tx, after.workspace_id, after.id, "issue_create", fields, notes.now_ms)
                _tell_links(tx, after, notes.now_ms)
            return
        assert before is not None
        if not is_theirs and is_mirrored(tx, after):
            self._tell(tx, before, after, notes)

    def _tell(
        self, tx: Transaction, before: TicketState, after: TicketState, notes: Notes
    ) -> None:
        """Write down what changed of a mirrored ticket."""
        old, new = plain_values(before), plain_values(after)
        changed = {field: new[field] for field in new if new[field] != old[field]}
        if changed:
            self.update(tx, after, changed, notes.now_ms)
        links = notes.details.get("links", {})
        for op, part in (("relation_create", "added"), ("relation_delete", "removed")):
            for link in links.get(part, ()):
                _tell_link(tx, after, op, link, notes.now_ms)

    def update(
        self,
        tx: Transaction,
        ticket: TicketState,
        changed: dict[str, Any],
        now_ms: int,
    ) -> None:
        """Let Linear hear of changed fields, together with what it has not heard yet."""
        shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
        assert shadow is not None, "a mirrored ticket has a shadow"
        times = json.loads(shadow["changed_json"]) | dict.fromkeys(changed, now_ms)
        tx.run("sync_shadow.set_changed", ticket_id=ticket.id, changed_json=to_json(times))
        self._supersede(tx, ticket, changed, now_ms)
        last = _last_pending_update(tx.many("sync_outbox.open_of_ticket", ticket_id=ticket.id))
        if last is not None:
            fields = merged(json.loads(last["payload_json"])["fields"], changed)
            payload = to_json({"fields": fields})
            # None where it was sent off just now.
            if tx.run(
                "sync_outbox.rewrite", id=last["id"], payload_json=payload, now_ms=now_ms
            ):
                tx.wake(OUTBOX_TOPIC)
                return
        fields = {"fields": changed}
        _add(tx, ticket.workspace_id, ticket.id, "issue_update", fields, now_ms)

    def _supersede(
        self, tx: Transaction, ticket: TicketState, changed: dict[str, Any], now_ms: int
    ) -> None:
        """Take from what was given up those fields of which there is a newer value."""
        dead = tx.many("sync_outbox.dead_of_ticket", ticket_id=ticket.id)
        self.forget(tx, dead, frozenset(changed), now_ms)

    def forget(
        self, tx: Transaction, rows: Iterable[Row], fields: frozenset[str], now_ms: int
    ) -> None:
        """Take fields from updates that have not gone out, because they are of no use now."""
        for row in rows:
            if row["op"] != "issue_update" or row["state"] not in ("pending", "dead"):
                continue
            present = json.loads(row["payload_json"])["fields"]
            left = {field: value for field, value in present.items() if field not in fields}
            if not left:
                tx.run("sync_outbox.supersede", id=row["id"], now_ms=now_ms)
            elif left != present:
                payload = to_json({"fields": left})
                tx.run("sync_outbox.rewrite", id=row["id"], payload_json=payload, now_ms=now_ms)

    def _detach(self, tx: Transaction, ticket: TicketState, now_ms: int) -> None:
        """Leave the issue alone from now on."""
        tx.run("sync_shadow.detach", ticket_id=ticket.id)
        tx.run(
            "sync_outbox.give_up_ticket",
            ticket_id=ticket.id,
            last_error="the ticket is not mirrored any more",
            now_ms=now_ms,
        )


def is_mirrored(tx: Transaction, ticket: TicketState) -> bool:
    """Tell whether changes of a ticket go to Linear."""
    if ticket.provider != LINEAR:
        return False
    shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
    return shadow is not None and not shadow["is_detached"]


def tell_comment(
    tx: Transaction, ticket: TicketState, comment_id: str, body: str, now_ms: int
) -> None:
    """Let Linear hear of a comment on a mirrored ticket; it has the same id there."""
    if is_mirrored(tx, ticket):
        payload = {"id": comment_id, "body": body}
        _add(tx, ticket.workspace_id, ticket.id, "comment_create", payload, now_ms)


def _tell_links(tx: Transaction, ticket: TicketState, now_ms: int) -> None:
    """Let Linear hear of the links that a ticket has when it comes to be mirrored."""
    after_seq = 0
    while links := tx.many(
        "ticket_links.of_ticket", ticket_id=ticket.id, after_seq=after_seq, limit=PAGE_ROWS
    ):
        for link in links:
            _tell_link(tx, ticket, "relation_create", link, now_ms)
        after_seq = links[-1]["seq"]


def _tell_link(
    tx: Transaction, ticket: TicketState, op: str, link: Mapping[str, Any], now_ms: int
) -> None:
    """Let Linear hear of a link that came or went, where both its ends are mirrored."""
    source_id, target_id = link["source_ticket_id"], link["target_ticket_id"]
    shadow = tx.one("sync_shadow.get", ticket_id=source_id)
    if shadow is None or shadow["is_detached"] or issue_of(tx, target_id) is None:
        return
    payload = {
        "id": link["id"],
        "type": _RELATIONS[link["type"]],
        "other_ticket_id": target_id,
    }
    _add(tx, ticket.workspace_id, source_id, op, payload, now_ms)


def _add(
    tx: Transaction,
    workspace_id: str,
    ticket_id: str,
    op: str,
    payload: dict[str, Any],
    now_ms: int,
) -> None:
    """Put a row at the end of a ticket's queue."""
    tx.value(
        "sync_outbox.add",
        workspace_id=workspace_id,
        ticket_id=ticket_id,
        op=op,
        payload_json=to_json(payload),
        now_ms=now_ms,
    )
    tx.wake(OUTBOX_TOPIC)


def _last_pending_update(rows: list[Row]) -> Row | None:
    """Return the row that a further update may go into: the last one, if it waits."""
    if rows and rows[-1]["op"] == "issue_update" and rows[-1]["state"] == "pending":
        return rows[-1]
    return None
