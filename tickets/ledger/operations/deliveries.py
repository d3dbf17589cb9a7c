"""Deliveries: may this message be sent now, and what was sent; or was it taken already."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.errors import DeliveryNotFound
from tickets.ledger.domain import records
from tickets.ledger.domain.documents import MAX_INT64, DeliveriesQuery, NewDelivery
from tickets.ledger.domain.records import DeliveryDecision, LedgerDelivery
from tickets.ledger.domain.reserved import check_channel
from tickets.ledger.operations.refusals import translated
from tickets.ledger.operations.store import TxStore
from tickets.sqlite_task_ledger import rules
from tickets.sqlite_task_ledger.deliveries import Delivery, Message
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE
from tickets.web.pages import Page, make_page, parse_id_cursor


class DeliveryOperations:
    """Everything a client can ask of deliveries."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def decide(self, document: NewDelivery) -> DeliveryDecision:
        """Decide whether to send, and record it.

        Raises ReservedChannel, Invalid, InvalidState.
        """
        check_channel(document.channel)
        with translated():
            message = Message(
                machine=DEFAULT_MACHINE,
                channel=document.channel,
                dedupe_key=document.dedupe_key,
                req=document.req,
                state=document.state,
                stage=document.stage,
                cooldown_ms=document.cooldown_ms,
                req_cooldown_ms=document.req_cooldown_ms,
                payload_hash=document.payload_hash,
            )
        dry_run = bool(document.dry_run)
        with self._db.read() if dry_run else self._db.write() as tx:
            decision = rules.deliver(
                TxStore(tx), message, now_ms=self._clock.now_ms(), dry_run=dry_run
            )
        return DeliveryDecision(**decision._asdict())

    def list_by_id(self, query: DeliveriesQuery, *, scope: str | None) -> Page[LedgerDelivery]:
        """Return a page of the deliveries that a request for ``scope`` sees.

        Those of the service are there for the workspace that they were for. Raises
        InvalidCursor.
        """
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            found = tx.many(
                "delivery_log.page",
                after_id=after_id,
                channel=query.channel,
                req=query.req,
                scope=scope,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=lambda row: records.delivery(Delivery(**row)),
            cursor=lambda row: str(row["id"]),
        )

    def mark_failed(self, delivery_id: str, *, scope: str | None) -> LedgerDelivery:
        """Let a delivery not count; harmless a second time.

        Raises DeliveryNotFound, ReservedChannel.
        """
        if (
            not (delivery_id.isascii() and delivery_id.isdigit())
            or int(delivery_id) > MAX_INT64
        ):
            raise DeliveryNotFound
        with self._db.write() as tx:
            row = tx.one("delivery_log.fail", delivery_id=int(delivery_id), scope=scope)
            if row is None:
                raise DeliveryNotFound
            # Undoes it: what was taken once would be taken again.
            check_channel(row["channel"])
        return records.delivery(Delivery(**row))


def is_first(
    tx: Transaction, channel: str, key: str, *, workspace_id: str, now_ms: int
) -> bool:
    """Tell whether this comes for the first time, and record that it came.

    For channels of the service's own; undone together with the caller's transaction.
    """
    message = Message(
        machine=DEFAULT_MACHINE, channel=channel, dedupe_key=f"{workspace_id}:{key}"
    )
    return rules.deliver(TxStore(tx), message, now_ms=now_ms).allowed


def forget_linear(tx: Transaction, *, before_ms: int, limit: int) -> int:
    """Delete what came from Linear before some moment, at most so many; return how many."""
    return tx.run("delivery_log.forget_linear", before_ms=before_ms, limit=limit)
