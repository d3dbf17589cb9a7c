"""Served tickets: what no request starts is started by a sweep, also after a kill."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.process.clients import Client, eventually, free_port, tickets
from tests.process.crowd import kill_all

AGENT = "/workspaces/w/agents/a1"


def is_started(client: Client, ticket_id: str) -> bool:
    """Tell whether somebody is to work on a ticket now."""
    found = client.get(f"/tickets/{ticket_id}?workspace_id=w")
    return bool(found["status"] == "in_progress")


def waiting_tickets(client: Client) -> list[str]:
    """Make tickets that nothing holds back any more, and that nothing has started."""
    client.post("/workspaces", {"id": "w", "name": "W"}, status=201)
    client.send("PUT", AGENT, {"role": "coder"})
    client.send("PATCH", "/workspaces/w", {"status": "paused"})
    body = {"workspace_id": "w", "title": "t", "assigned_agent_id": "a1"}
    ids = [str(client.post("/tickets", body, status=201)["id"]) for _ in range(3)]
    client.send("PATCH", "/workspaces/w", {"status": "active"})
    return ids


def test_tickets_that_wait_are_started_by_sweeps_also_after_a_kill(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()), "--workers", "2", "--dispatch-inline", "off")
    with tickets(tmp_path, *flags) as server:
        with Client(server) as client:
            ids = waiting_tickets(client)
        kill_all(server)

    often = ("--dispatch-sweep-interval-ms", "100")
    with tickets(tmp_path, *flags, *often) as server:
        with Client(server) as client:
            for ticket_id in ids:
                eventually(partial(is_started, client, ticket_id))
                rows = client.get(f"/tickets/{ticket_id}/dispatches?workspace_id=w")["items"]
                assert [(row["generation"], row["state"]) for row in rows] == [(1, "queued")]
        assert server.stop() == 0
