"""``/ledger/deliveries``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    DeliveryNotFound,
    Invalid,
    InvalidCursor,
    InvalidLimit,
    InvalidState,
    ReservedChannel,
)
from tickets.ledger.domain.documents import DeliveriesQuery, NewDelivery, ScopeQuery
from tickets.ledger.domain.records import DeliveryDecision, LedgerDelivery
from tickets.ledger.operations.deliveries import DeliveryOperations
from tickets.ledger.resources.scope import scope_of
from tickets.web.endpoint import endpoint
from tickets.web.headers import WORKSPACE_HEADER
from tickets.web.pages import Page


class DeliveryCollection:
    """HTTP for all deliveries."""

    def __init__(self, deliveries: DeliveryOperations) -> None:
        self._deliveries = deliveries

    @endpoint(
        "Ask whether a message may be sent, and record that it is",
        body=NewDelivery,
        answer=DeliveryDecision,
        status=201,
        also=(200,),
        errors=(Invalid, InvalidState, ReservedChannel),
    )
    def on_post(self, _req: Request, resp: Response, document: NewDelivery) -> DeliveryDecision:
        """``POST /ledger/deliveries`` → 201 where it may be sent, else 200.

        201 is recorded as sent; ``dry_run`` records nothing and is answered 200. Without
        ``dedupe_key`` it is ``<req>:<state>:<stage>``.
        """
        decision = self._deliveries.decide(document)
        if document.dry_run or not decision.allowed:
            resp.status = 200
        return decision

    @endpoint(
        "List deliveries",
        query=DeliveriesQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Page[LedgerDelivery],
        errors=(Invalid, InvalidLimit, InvalidCursor),
    )
    def on_get(
        self, req: Request, _resp: Response, query: DeliveriesQuery
    ) -> Page[LedgerDelivery]:
        """``GET /ledger/deliveries?channel=&req=&limit=&cursor=`` → 200 page by id.

        A message about a req of a workspace, and what the service took from elsewhere for one,
        is there for requests that name it.
        """
        return self._deliveries.list_by_id(query, scope=scope_of(req, query))


class DeliveryFail:
    """HTTP for a message that could not be sent."""

    def __init__(self, deliveries: DeliveryOperations) -> None:
        self._deliveries = deliveries

    @endpoint(
        "Let a delivery not count: its message was not sent",
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerDelivery,
        errors=(Invalid, DeliveryNotFound, ReservedChannel),
    )
    def on_post(
        self, req: Request, _resp: Response, delivery_id: str, query: ScopeQuery
    ) -> LedgerDelivery:
        """``POST /ledger/deliveries/{delivery_id}/fail`` → 200 delivery, also again."""
        return self._deliveries.mark_failed(delivery_id, scope=scope_of(req, query))
