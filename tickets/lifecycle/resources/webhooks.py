"""``/webhooks/linear/{workspace_id}``: what Linear sends, and signs."""

from __future__ import annotations

from typing import Final

from falcon import Request, Response

from tickets.errors import InvalidJson, PayloadTooLarge
from tickets.lifecycle.domain.sync_records import WebhookAnswer
from tickets.lifecycle.errors import IntegrationNotFound, InvalidSignature, StaleWebhook
from tickets.lifecycle.operations.inbox import Inbox
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint

SIGNATURE: Final = "Linear-Signature"
DELIVERY: Final = "Linear-Delivery"
TIMESTAMP: Final = "Linear-Timestamp"


class LinearWebhook:
    """HTTP for Linear's webhooks."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @endpoint(
        "Take a webhook of Linear's",
        answer=WebhookAnswer,
        raw_body=("application/json",),
        request_headers=(SIGNATURE, DELIVERY, TIMESTAMP),
        errors=(
            InvalidJson,
            InvalidSignature,
            StaleWebhook,
            IntegrationNotFound,
            PayloadTooLarge,
        ),
        access=Access.PUBLIC,
        replays_itself=True,
    )
    def on_post(self, req: Request, _resp: Response, workspace_id: str) -> WebhookAnswer:
        """``POST /webhooks/linear/{workspace_id}`` → 200 ``{"status": "accepted"}``.

        No API token is asked for: the signature in ``Linear-Signature`` is that of the exact
        body under one of the integration's secrets. A delivery that was seen before is a
        ``duplicate``, one about something else than issues and comments is ``ignored``.
        """
        return self._inbox.receive(
            workspace_id,
            req.context.body,
            signature=req.get_header(SIGNATURE),
            delivery=req.get_header(DELIVERY),
            timestamp=req.get_header(TIMESTAMP),
        )
