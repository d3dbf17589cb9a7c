"""Short words for what clients tell and ask the ledger over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.conftest import Client
from tests.factories import Json


class Told:
    """Tells the ledger something, and asks it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(
        self,
        state: str,
        req: str = "r",
        *,
        status: int = 201,
        workspace: str = "",
        **fields: Any,
    ) -> Json:
        body = {"state": state, "actor": "a", "source": "s", "req": req, **fields}
        headers = {"X-Workspace-Id": workspace} if workspace else {}
        answer: Json = self._client.post_json(
            "/ledger/events", body, headers=headers, status=status
        ).json
        return answer

    def goes(self, *states: str, req: str = "r") -> None:
        """Let a req go through some states."""
        for state in states:
            self(state, req)

    def task(self, req: str) -> Json:
        """Return where a req stands."""
        answer: Json = self._client.get(f"/ledger/tasks/{quote(req, safe='')}", status=200).json
        return answer

    def states(self, req: str) -> list[str]:
        """Return the states of a req's events."""
        path = f"/ledger/tasks/{quote(req, safe='')}/events?limit=1000"
        return [each["state"] for each in self._client.get(path, status=200).json["items"]]


def ask(client: Client, status: int = 201, **fields: Any) -> Json:
    """Ask whether a message may be sent."""
    body = {"channel": "c", **fields}
    answer: Json = client.post_json("/ledger/deliveries", body, status=status).json
    return answer
