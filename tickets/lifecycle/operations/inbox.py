"""The way in: webhooks and polls are stored once each, then applied, then known for good."""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson

from tickets.clock import Clock
from tickets.db.database import Collision, Database, Row, Transaction
from tickets.db.repeating import repeated
from tickets.errors import Busy, InvalidJson, PayloadTooLarge, TicketsError
from tickets.ledger.operations.deliveries import is_first
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import NewComment
from tickets.lifecycle.domain.sync_records import WebhookAnswer
from tickets.lifecycle.errors import InvalidSignature, StaleWebhook
from tickets.lifecycle.linear.issues import Issue, Unreadable, as_id, read_issue
from tickets.lifecycle.linear.pace import MAX_ATTEMPTS, delay_ms
from tickets.lifecycle.linear.signature import delivery_key, is_fresh, is_signed, sent_at_ms
from tickets.lifecycle.operations.applying import Applying, Arrival
from tickets.lifecycle.operations.comments import CommentOperations
from tickets.lifecycle.operations.mirrors import LINEAR, Integration, found_integration
from tickets.lifecycle.vault import Vault
from tickets.web.answers import to_json

MAX_WEBHOOK_BYTES: Final = 1 << 20
MAX_COMMENT_CHARACTERS: Final = 65_536
# Linear waits five seconds for an answer.
INLINE_PATIENCE_MS: Final = 2_000
# As many deliveries as one round of the worker applies.
ROUND_ROWS: Final = 50

_APPLIED: Final = frozenset({"Issue", "Comment"})

logger = logging.getLogger(__name__)


class Inbox:
    """Takes what Linear sends, and applies it."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        applying: Applying,
        comments: CommentOperations,
        vault: Vault,
    ) -> None:
        self._db = db
        self._clock = clock
        self._applying = applying
        self._comments = comments
        self._vault = vault

    def receive(
        self,
        workspace_id: str,
        body: bytes,
        *,
        signature: str | None,
        delivery: str | None,
        timestamp: str | None,
    ) -> WebhookAnswer:
        """Take a webhook, and apply it if that is quick.

        Raises IntegrationNotFound, SecretsUnreadable, PayloadTooLarge, InvalidSignature,
        InvalidJson, StaleWebhook, in this order; nothing of what is refused is kept.
        """
        with self._db.read() as tx:
            integration = found_integration(tx, workspace_id)
        secrets = [self._vault.open(each) for each in integration.sealed_secrets]
        if len(body) > MAX_WEBHOOK_BYTES:
            raise PayloadTooLarge(f"A webhook may have {MAX_WEBHOOK_BYTES} bytes")
        if not is_signed(body, signature, secrets):
            raise InvalidSignature
        payload = _parsed(body)
        if not is_fresh(
            sent_at_ms(payload, timestamp),
            now_ms=self._clock.now_ms(),
            window_ms=integration.replay_window_ms,
        ):
            raise StaleWebhook
        kind = payload.get("type")
        is_known = integration.is_enabled and isinstance(kind, str) and kind in _APPLIED
        added = self._add(
            workspace_id,
            delivery_key(body, delivery),
            "webhook",
            body.decode(),
            is_ignored=not is_known,
        )
        if added is None:
            return WebhookAnswer(status="duplicate")
        if not is_known:
            return WebhookAnswer(status="ignored")
        self._apply_at_once(added)
        return WebhookAnswer(status="accepted")

    def add_polled(self, integration: Integration, issue: Issue) -> None:
        """Take an issue that was read, unless it was read before as it is."""
        payload = to_json({"action": "update", "type": "Issue", "data": issue.document()})
        key = f"poll:{issue.id}:{issue.updated_at_ms}"
        self._add(integration.workspace_id, key, "poll", payload, is_ignored=False)

    def apply_due(self) -> int:
        """Apply what is waiting; return how many deliveries were tried."""
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            due = [
                row["id"] for row in tx.many("sync_inbox.due", now_ms=now_ms, limit=ROUND_ROWS)
            ]
        for id_ in due:
            self._apply(id_)
        return len(due)

    def _add(
        self, workspace_id: str, key: str, source: str, payload: str, *, is_ignored: bool
    ) -> int | None:
        """Store a delivery that the ledger did not know; return None for any other."""
        channel = f"{LINEAR}-{source}"

        def add() -> int | None:
            with self._db.write() as tx:
                now_ms = self._clock.now_ms()
                if not is_first(tx, channel, key, workspace_id=workspace_id, now_ms=now_ms):
                    return None
                added: int | None = tx.value(
                    "sync_inbox.add",
                    workspace_id=workspace_id,
                    delivery_id=key,
                    source=source,
                    payload_json="{}" if is_ignored else payload,
                    state="done" if is_ignored else "pending",
                    outcome="ignored" if is_ignored else None,
                    now_ms=now_ms,
                )
                return added

        return repeated(add)

    def _apply_at_once(self, id_: int) -> None:
        """Apply a delivery where nobody is in the way; else the worker does it in a moment."""
        try:
            self._apply(id_, patience_ms=INLINE_PATIENCE_MS)
        except TicketsError as error:
            logger.warning("a delivery of Linear's waits: %s", error)

    def _apply(self, id_: int, *, patience_ms: int | None = None) -> None:
        """Try to apply a delivery; whatever goes wrong is put off, and given up at last."""

        def apply() -> None:
            with self._db.write(patience_ms) as tx:
                now_ms = self._clock.now_ms()
                row = tx.one(
                    "sync_inbox.take", id=id_, now_ms=now_ms, next_attempt_at_ms=now_ms
                )
                if row is None:
                    return
                integration = found_integration(tx, row["workspace_id"])
                outcome = self._outcome(tx, integration, row, now_ms)
                tx.run("sync_inbox.end", id=id_, state="done", outcome=outcome)

        try:
            repeated(apply)
        except Busy:
            # Not the fault of the delivery, so it costs no attempt.
            raise
        except (Collision, TicketsError) as error:
            self._put_off(id_, type(error).__name__)
        except Exception:
            logger.exception("a delivery of Linear's could not be applied")
            self._put_off(id_, "failed")

    def _put_off(self, id_: int, outcome: str) -> None:
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            row = tx.one("sync_inbox.take", id=id_, now_ms=now_ms, next_attempt_at_ms=now_ms)
            if row is None:
                return
            if row["attempts"] >= MAX_ATTEMPTS:
                tx.run("sync_inbox.end", id=id_, state="dead", outcome=outcome)
                return
            next_ms = now_ms + delay_ms(row["attempts"], random_unit=0.5)
            tx.run("sync_inbox.put_off", id=id_, next_attempt_at_ms=next_ms, outcome=outcome)

    def _outcome(self, tx: Transaction, integration: Integration, row: Row, now_ms: int) -> str:
        payload: dict[str, Any] = orjson.loads(row["payload_json"])
        data = payload.get("data")
        if not isinstance(data, dict):
            return "ignored"
        actor = _actor(payload)
        if payload.get("type") == "Comment":
            if payload.get("action") != "create":
                return "ignored"
            return self._comment(tx, integration, data, actor)
        try:
            issue = read_issue(data, url=payload.get("url"))
        except Unreadable:
            return "unreadable"
        arrival = Arrival(
            integration=integration,
            issue=issue,
            actor=actor,
            is_removed=payload.get("action") == "remove",
            now_ms=now_ms,
        )
        return self._applying.issue(tx, arrival)

    def _comment(
        self, tx: Transaction, integration: Integration, data: dict[str, Any], actor: str
    ) -> str:
        """Say on the ticket what was said on its issue, unless it was said here first."""
        id_, issue_id, body = (
            as_id(data.get("id")),
            as_id(data.get("issueId")),
            data.get("body"),
        )
        if id_ is None or issue_id is None or not isinstance(body, str):
            return "ignored"
        found = tx.one("sync_shadow.ticket_of_issue", external_id=issue_id)
        text = body.replace("\0", "").strip()[:MAX_COMMENT_CHARACTERS]
        if found is None or found["workspace_id"] != integration.workspace_id or not text:
            return "ignored"
        shadow = tx.one("sync_shadow.get", ticket_id=found["id"])
        if shadow is None or shadow["is_detached"]:
            return "ignored"
        if tx.value("ticket_comments.is_known", external_id=id_) is not None:
            return "echo"
        scope = Scope(workspace_id=integration.workspace_id, actor=actor)
        self._comments.add(scope, found["id"], NewComment(body=text), external_id=id_)
        return "applied"


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson from error
    if not isinstance(payload, dict):
        raise InvalidJson
    return payload


def _actor(payload: dict[str, Any]) -> str:
    """Return who did it, as an actor of ours."""
    actor = payload.get("actor")
    id_ = as_id(actor.get("id")) if isinstance(actor, dict) else None
    return LINEAR if id_ is None else f"{LINEAR}:{id_}"
