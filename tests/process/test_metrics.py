"""Metrics of a service of two processes: whole, whichever of them is asked."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.factories import SIMPLE
from tests.process.clients import Client, eventually, tickets, workers_of
from tests.process.serving import Server

CLAIM = {"agent_id": "a", "agent_role": "coder"}


def scraped(client: Client) -> dict[str, float]:
    """Return the value of every series."""
    text = client.send("GET", "/metrics").body.decode()
    return {
        series: float(value)
        for series, value in re.findall(r"^([a-z]\S*?(?:{.*})?) (\S+)$", text, re.MULTILINE)
    }


def answered(client: Client) -> dict[str, float]:
    """Return how many requests each process has answered."""
    return {
        series: value
        for series, value in scraped(client).items()
        if series.startswith("tickets_worker_requests_total")
    }


def client_of_another(server: Server, first: Client) -> Client | None:
    """Connect; None where the same process answers that answers ``first``."""
    client = Client(server)
    before = answered(first)
    client.get("/health")
    after = answered(first)
    # Two requests were counted meanwhile: this client's, and the first look itself.
    if sum(after[series] > before.get(series, 0) for series in after) == 2:
        return client
    client.close()
    return None


def test_what_two_processes_count_is_one_sum(tmp_path: Path) -> None:
    with (
        tickets(tmp_path, "--workers", "2") as server,
        Client(server) as first,
        eventually(lambda: client_of_another(server, first)) as second,
    ):
        pipeline_id = first.pipeline(SIMPLE)
        for client in (first, second):
            client.task(pipeline_id)
            client.post("/leases/claim", CLAIM)
            client.post("/leases/claim", CLAIM, status=204)

        seen = [scraped(client) for client in (first, second)]

    for metrics in seen:
        assert metrics['tickets_claims_total{outcome="granted"}'] == 2
        assert metrics['tickets_claims_total{outcome="empty"}'] == 2
        assert metrics['tickets_facts_total{kind="task.claimed"}'] == 2
        # A pipeline, and for each client a task and two claims.
        assert metrics['tickets_write_seconds_count{phase="commit"}'] >= 7
        assert metrics["tickets_worker_starts_total"] == 2
        assert metrics["tickets_connections"] >= 2
    assert seen[0]["tickets_start_time_seconds"] == seen[1]["tickets_start_time_seconds"]


def test_a_process_that_is_replaced_shows_as_a_start(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "1") as server:
        (before,) = eventually(lambda: workers_of(server))
        with Client(server) as client:
            task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
            client.post("/tasks", task, status=201)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: workers_of(server) not in ([before], []))
        with Client(server) as client:
            metrics = scraped(client)

    assert metrics["tickets_worker_starts_total"] == 2
    assert metrics['tickets_facts_total{kind="task.created"}'] == 1
