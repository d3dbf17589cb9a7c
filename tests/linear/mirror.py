"""A workspace that is connected to the stand-in, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.conftest import Client, FrozenClock
from tests.linear.stand_in import StandIn, Webhook
from tests.worlds import looked_up
from tickets.app import Application

Json = dict[str, Any]

SECRETS = ["whsec_the_present_one", "whsec_the_next_one"]
LINEAR = "/workspaces/w/integrations/linear"


class Mirror:
    """What tests do on both sides."""

    def __init__(
        self, client: Client, app: Application, clock: FrozenClock, linear: StandIn
    ) -> None:
        self.client = client
        self.app = app
        self.clock = clock
        self.linear = linear
        self.headers = {"X-Workspace-Id": "w"}
        client.post_json("/workspaces", {"id": "w", "name": "W"}, status=201)
        self.connect(status=201)

    def connect(self, status: int = 200, **changed: Any) -> Json:
        """Connect the workspace."""
        body = {
            "enabled": True,
            "auth_kind": "api_key",
            "api_key": self.linear.key,
            "team_id": self.linear.team_id,
            "webhook_secrets": SECRETS,
            **changed,
        }
        answer: Json = self.client.put_json(LINEAR, body, status=status).json
        return answer

    # Our side.

    def create(self, **fields: Any) -> Json:
        """Create a ticket that is mirrored."""
        body = {"title": "Title", "provider": "linear", **fields}
        ticket: Json = self.client.post_json(
            "/tickets", body, headers=self.headers, status=201
        ).json
        return ticket

    def mirrored(self, **fields: Any) -> Json:
        """Create a ticket and its issue, which both sides know."""
        ticket = self.create(**fields)
        self.settle()
        return self.get(ticket["id"])

    def get(self, ticket_id: str) -> Json:
        """Return a ticket."""
        ticket: Json = self.client.get(f"/tickets/{ticket_id}", headers=self.headers).json
        return ticket

    def patch(self, ticket_id: str, **fields: Any) -> Json:
        """Change a ticket."""
        ticket: Json = self.client.patch_json(
            f"/tickets/{ticket_id}", fields, headers=self.headers
        ).json
        return ticket

    def move(self, ticket_id: str, to: str, **fields: Any) -> Json:
        """Bring a ticket to another status."""
        ticket: Json = self.client.post_json(
            f"/tickets/{ticket_id}/transition", {"to": to, **fields}, headers=self.headers
        ).json
        return ticket

    def started(self, ticket_id: str) -> Json:
        """Start a ticket that nobody is assigned to."""
        return self.move(ticket_id, "in_progress", external=True)

    def events(self, ticket_id: str) -> list[Json]:
        """Return a ticket's events."""
        path = f"/tickets/{ticket_id}/events?limit=1000"
        events: list[Json] = self.client.get(path, headers=self.headers).json["items"]
        return events

    def sync(self, ticket_id: str) -> Json:
        """Return how a ticket's sync stands."""
        details: Json = self.client.get(f"/tickets/{ticket_id}/sync", headers=self.headers).json
        return details

    def outbox(self, state: str | None = None) -> list[Json]:
        """Return what is in the outbox."""
        query = "" if state is None else f"&state={state}"
        rows: list[Json] = self.client.get(f"{LINEAR}/outbox?limit=1000{query}").json["items"]
        return rows

    def resolve(self, ticket_id: str, prefer: str, status: int = 200) -> Json:
        """End a conflict."""
        answer: Json = self.client.post_json(
            f"/tickets/{ticket_id}/sync/resolve",
            {"prefer": prefer},
            headers=self.headers,
            status=status,
        ).json
        return answer

    # What the worker does.

    def push(self) -> int:
        """Send what is due now; return how many rows that were."""
        return self.app.lifecycle.pushing.push_due()

    def settle(self) -> None:
        """Send everything, and deliver every webhook that this brings, time going by."""
        while self.push() or self.linear.webhooks:
            self.clock.advance(ms=10)
            self.deliver_all()
        self.clock.advance(ms=10)

    # Their side.

    def deliver(
        self,
        webhook: Webhook | None = None,
        *,
        secret: str = SECRETS[0],
        sent_ms_ago: int = 0,
        status: int = 200,
    ) -> Json:
        """Deliver a webhook, the oldest that waits where none is given."""
        webhook = webhook or self.linear.webhooks.pop(0)
        headers, body = webhook.sent(secret, self.clock.now_ms() - sent_ms_ago)
        return self.post(headers, body, status=status)

    def deliver_all(self) -> None:
        """Deliver all webhooks that wait."""
        while self.linear.webhooks:
            self.deliver()

    def post(self, headers: dict[str, str], body: bytes, *, status: int = 200) -> Json:
        """Send something to the webhook endpoint."""
        answer: Json = self.client.post(
            "/webhooks/linear/w", body, headers=headers, status=status
        ).json
        return answer

    def outcomes(self) -> list[str | None]:
        """Return what came of each delivery."""
        found = looked_up(
            self.app.lifecycle.inbox._db, "SELECT outcome FROM sync_inbox ORDER BY id"
        )
        return [row[0] for row in found]

    def issue(self, ticket: Json) -> Json:
        """Return a ticket's issue as Linear has it."""
        return self.linear.named(ticket["sync"]["external_id"])
