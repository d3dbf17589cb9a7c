"""A program that knows nothing of this service holds a lock of its database."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import databases
from tests.factories import SIMPLE, refused
from tests.process.clients import Answer, Client, Open, eventually, tickets, workers_of
from tests.process.serving import START_S, Server, run_cli

# The longest that a write waits here; heartbeats wait thirty seconds as ever.
BUSY_TIMEOUT_MS = "300"
# What a slow machine may add; far from what a heartbeat or the default would wait.
SLACK_S = 3.0
WRITERS = 6

_WORKER = re.compile(rb'^tickets_worker_requests_total{worker="(.+?)"} [1-9]', re.MULTILINE)

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect("t.db", isolation_level=None, timeout=20)
connection.execute(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""

IS_SERVER = databases.Kind.chosen == databases.POSTGRES
# What keeps writers out and lets readers in: as a program does that builds an index.
LOCKS = (
    ["LOCK TABLE tasks IN SHARE MODE", "LOCK TABLE changes IN EXCLUSIVE MODE"]
    if IS_SERVER
    else ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]
)
LOCK_OF_LEASES = (
    "LOCK TABLE leases, pipelines IN SHARE MODE" if IS_SERVER else "BEGIN IMMEDIATE"
)


@contextmanager
def held_by_another_program(home: Path, lock: str) -> Iterator[None]:
    """Hold a lock from another process or connection during the block."""
    if not IS_SERVER:
        with held_in_file(home, lock):
            yield
        return
    with psycopg.connect(databases.of_home(home)) as connection:
        connection.execute(lock.encode())
        yield
        connection.rollback()


@contextmanager
def held_in_file(home: Path, begin: str) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, begin]
    with subprocess.Popen(
        command, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield
        finally:
            process.stdin.close()
            assert process.wait(START_S) == 0


@contextmanager
def impatient(home: Path) -> Iterator[Server]:
    with tickets(home, "--workers", "2", TICKETS_BUSY_TIMEOUT_MS=BUSY_TIMEOUT_MS) as server:
        # The first read of a process goes through the gate, to open the file in turn.
        eventually(lambda: len(_workers_at_work(server)) == 2)
        yield server


def _workers_at_work(server: Server) -> set[bytes]:
    """Ask over two connections at once; return which workers have answered so far."""
    with Client(server) as one, Client(server) as other:
        one.get("/health")
        other.get("/health")
        metrics = one.send("GET", "/metrics").body
    return set(_WORKER.findall(metrics))


# D-34
@pytest.mark.parametrize("lock", LOCKS)
def test_writes_are_answered_503_in_time_and_reads_go_on_until_it_is_let_go(
    tmp_path: Path, lock: str
) -> None:
    with impatient(tmp_path) as server, Client(server) as client:
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        task_id = client.post("/tasks", task, status=201)["id"]
        workers = sorted(workers_of(server))

        def write(number: int) -> tuple[Answer, float]:
            with Client(server) as own:
                began = time.monotonic()
                answer = own.send("POST", "/tasks", task, key=f"k{number}")
                return answer, time.monotonic() - began

        with held_by_another_program(tmp_path, lock), ThreadPoolExecutor(WRITERS) as pool:
            writing = [pool.submit(write, number) for number in range(WRITERS)]
            assert client.get(f"/tasks/{task_id}")["stage"] == "todo"
            assert client.get("/health")["active_leases"] == 0
            assert len(client.pages("/tasks")) == 1
            refusals = [each.result(START_S) for each in writing]

        for answer, seconds in refusals:
            assert (answer.status, answer.json) == (503, refused("busy"))
            assert int(answer.headers["retry-after"]) >= 1
            # Those in line behind another wait no longer than it did.
            assert seconds < int(BUSY_TIMEOUT_MS) / 1000 + SLACK_S
        for number in range(WRITERS):
            assert write(number)[0].status == 201
        assert len(client.pages("/tasks")) == 1 + WRITERS
        assert sorted(workers_of(server)) == workers
        assert server.stop() == 0


# D-34: a heartbeat is tried harder, since a lost one kills a working agent
def test_a_heartbeat_outwaits_the_other_program(tmp_path: Path) -> None:
    with impatient(tmp_path) as server, Client(server) as client:
        client.task(client.pipeline(SIMPLE))
        claim = client.claim("coder")
        path = f"/leases/{claim['lease_id']}/heartbeat"

        with held_by_another_program(tmp_path, LOCK_OF_LEASES):
            heartbeat = Open(server, "POST", path, token=claim["lease_token"])
            # What came later and is no heartbeat has given up, twice over.
            for _ in range(2):
                client.post("/pipelines", {"name": "q", "definition": SIMPLE}, status=503)

        answer = heartbeat.answer()
        assert answer.status == 200
        assert answer.json["expires_at_ms"] >= claim["expires_at_ms"]
        assert server.stop() == 0


@pytest.mark.postgres
def test_readers_that_are_kept_out_are_answered_503_in_time_too(tmp_path: Path) -> None:
    with impatient(tmp_path) as server, Client(server) as client:
        client.task(client.pipeline(SIMPLE))

        with held_by_another_program(tmp_path, "LOCK TABLE tasks"):
            began = time.monotonic()
            refusal = client.send("GET", "/tasks")
            took_s = time.monotonic() - began

        assert (refusal.status, refusal.json) == (503, refused("busy"))
        assert took_s < int(BUSY_TIMEOUT_MS) / 1000 + SLACK_S
        assert len(client.pages("/tasks")) == 1
        assert server.stop() == 0


# Of whoever migrates a server, others wait for as long as that takes.
@pytest.mark.sqlite
def test_a_start_that_cannot_migrate_says_so_and_the_next_one_can(tmp_path: Path) -> None:
    (tmp_path / "t.db").touch()
    with held_by_another_program(tmp_path, "BEGIN EXCLUSIVE"):
        result = run_cli(
            "migrate", "--db", "t.db", home=tmp_path, TICKETS_BUSY_TIMEOUT_MS=BUSY_TIMEOUT_MS
        )
        assert result.returncode == 1
        assert "Traceback" not in result.stderr

    result = run_cli(
        "migrate", "--db", "t.db", home=tmp_path, TICKETS_BUSY_TIMEOUT_MS=BUSY_TIMEOUT_MS
    )
    assert result.returncode == 0
