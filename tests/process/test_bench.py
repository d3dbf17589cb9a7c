"""``make bench``, so small that it measures nothing: that every figure runs, with each load."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts.bench.connection import Address, Connection
from scripts.bench.generators import Agents, Generator, Posts, Processes, Wrk, has_wrk
from scripts.bench.outcome import Outcome
from scripts.bench.seed import Backlog, put_in_front
from tests.databases import drop, empty_url
from tests.process.clients import Client, tickets
from tests.process.serving import Server, environment

# The benchmark's own services are on files, and any other it only knows by its URL.
pytestmark = pytest.mark.sqlite

BENCH = [sys.executable, "-m", "scripts.bench"]
BENCH_S = 60
TOKEN = "bench-token"
# One round may happen to end between two tasks.
ROUNDS = 4
GENERATORS = [
    pytest.param(Processes, id="python"),
    pytest.param(
        Wrk, id="wrk", marks=pytest.mark.skipif(not has_wrk(), reason="wrk is not installed")
    ),
]


def bench(home: Path, *arguments: str, kind: str = "sqlite") -> dict[str, Any]:
    """Run the benchmark and return what it wrote."""
    subprocess.run(
        [*BENCH, "--sizes", "smoke", "--output", "out", *arguments],
        env=environment(home, TMPDIR=str(home)),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BENCH_S,
        check=True,
    )
    written: dict[str, Any] = json.loads((home / "out" / f"{kind}-smoke.json").read_text())
    return written


def address(server: Server, token: str | None = None) -> Address:
    return Address(server.host, server.port, token)


def errors_in(part: Any) -> Iterator[Any]:
    """Yield what any load below was refused; empty claims are no wonder here."""
    if isinstance(part, dict):
        if part.get("errors") or part.get("socket_errors"):
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from errors_in(each)


@pytest.mark.parametrize("make", GENERATORS)
def test_a_load_ends_what_it_began(tmp_path: Path, make: type[Wrk | Processes]) -> None:
    with tickets(tmp_path, "--workers", "1", TICKETS_TOKEN=TOKEN) as server:
        backlog = Backlog(address(server, TOKEN), "work")
        backlog.fill(1_000)
        generator: Generator = make()
        outcome = Outcome()
        try:
            for _ in range(ROUNDS):
                outcome.add(generator.run(backlog.address, Agents(backlog.role, 8), 0.1))
            posts = Posts("/tasks", json.dumps(backlog.task()).encode(), 2)
            created = generator.run(backlog.address, posts, 0.1)
            refused = generator.run(backlog.address, Posts("/tasks", b"{}", 2), 0.1)
        finally:
            generator.close()
        with Client(server, token=TOKEN) as client:
            health = client.get("/health")

    stages = {each["stage"]: each["count"] for each in health["tasks_by_stage"]}
    assert health["active_leases"] == 0
    assert stages["done"] == outcome.taken
    assert 0 < outcome.count("transition") <= outcome.taken
    assert (outcome.errors, outcome.socket_errors) == ({}, 0)
    assert created.count("post") > 0
    assert refused.count("post") == 0
    assert refused.errors.keys() == {"post 400"}


def test_nothing_in_front_can_be_claimed(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "1") as server:
        backlog = Backlog(address(server), "front")
        put_in_front(backlog, 3)
        with Connection(backlog.address) as connection:
            [role] = connection.json("GET", "/ops/queue")["roles"]
            body = {"agent_id": "bench", "agent_role": backlog.role}
            claim = connection.json("POST", "/leases/claim", body)

    # One of them is what the blocked ones wait for.
    assert (role["blocked_count"], role["scheduled_count"], role["assigned_count"]) == (3, 3, 4)
    assert claim is None


def test_every_figure_of_a_running_service_is_measured(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with tickets(tmp_path, "--workers", "1", TICKETS_TOKEN=TOKEN) as server:
        url = address(server).url
        flags = ["--url", url, "--token-file", "token", "--generator", "python"]
        document = bench(tmp_path, *flags)

    figures = document["figures"]
    lines = figures["costs"]["requests"]
    assert list(figures) == [
        *("loops", "obstacles", "ledger", "creates", "bulk", "claims", "waiting"),
        *("workers", "backlogs", "costs"),
    ]
    assert all(figure["rows"] for figure in figures.values())
    assert all(min(figure["pace"].values()) > 0 for figure in figures.values())
    # What is in brackets does not tell two figures apart.
    names = [
        re.sub(r" \(.*?\)", "", row["name"])
        for each in figures.values()
        for row in each["rows"]
    ]
    assert sorted(names) == sorted(set(names))
    assert list(errors_in(figures)) == []
    assert [point["backlog"] for point in figures["backlogs"]["points"]] == [20, 60]
    assert {"claim", "transition", "fail", "heartbeat", "queue statistics"} <= {
        line["request"] for line in lines
    }
    assert all(time for line in lines for time in line["p99_ms"].values())
    assert document["about"]["generator"].startswith("Python")
    assert document["about"]["settings"] == "as it runs"
    assert (tmp_path / "out" / "sqlite-smoke-claims.svg").exists()


def test_one_figure_of_a_service_of_its_own_is_added_to_the_others(tmp_path: Path) -> None:
    kept = tmp_path / "out" / "sqlite-smoke.json"
    kept.parent.mkdir()
    loops = {"rows": [], "date": "2024-01-02", "commit": "abc"}
    kept.write_text(json.dumps({"about": {}, "figures": {"waiting": loops, "loops": loops}}))

    document = bench(tmp_path, "--only", "waiting", "--workers", "1")

    waiting = document["figures"]["waiting"]
    assert list(document["figures"]) == ["loops", "waiting"]
    assert document["figures"]["loops"] == loops
    assert waiting["waiting_at_once"] == 5
    assert (waiting["cpu_percent_waiting"] is not None) == Path("/proc/self/stat").exists()
    assert document["about"]["settings"]["workers"] == 1
    # Neither the service nor its database outlives the benchmark.
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.postgres
def test_each_service_gets_a_database_of_its_own_on_the_server(tmp_path: Path) -> None:
    url = empty_url()
    try:
        flags = ["--db", url, "--only", "workers", "--workers", "1", "--generator", "python"]
        document = bench(tmp_path, *flags, kind="postgresql")
        with psycopg.connect(url) as connection:
            left = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE 'tickets_bench_%'"
            ).fetchall()
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
    finally:
        drop(url)

    [row] = document["figures"]["workers"]["rows"]
    assert row["reached"] > 0
    assert (left, tables) == ([], [])
