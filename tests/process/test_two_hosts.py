"""Two services on one PostgreSQL database, as on two machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import databases
from tests.factories import SIMPLE, Json
from tests.process.clients import Client, Open, eventually, tickets
from tests.process.networks import Host, network, second_host
from tests.process.serving import Server

pytestmark = pytest.mark.postgres

AGENTS = 16
TASKS = 300
WAITING = 6
# Shorter than the time after which a waiter looks again without having been told.
WAIT_MS = 4_000
# A lease that ends while its host is cut off, and what makes that host notice soon.
SHORT_MS = 1_500
TASK = {"title": "t", "description": ""}
IMPATIENT = ("--busy-timeout-ms", "500")
LINE = {"connect_timeout": 2, "tcp_user_timeout": 2_000}


@contextmanager
def two_hosts(home: Path) -> Iterator[tuple[Server, Server, str]]:
    url = databases.fresh_url()
    try:
        with (
            tickets(home, "--db", url, "--workers", "2") as one,
            tickets(home, "--db", url, "--workers", "1") as two,
        ):
            yield one, two, url
    finally:
        databases.drop(url)


def listeners(url: str) -> int:
    """Return how many processes listen to the others."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT COUNT(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def work(server: Server, number: int) -> list[str]:
    """Claim and finish until nothing is left; return the tasks."""
    wanted: Json = {"agent_id": f"agent-{number}", "agent_role": "coder"}
    done: list[str] = []
    with Client(server) as client:
        while True:
            answer = client.send("POST", "/leases/claim", wanted)
            if answer.status == 204:
                return done
            assert answer.status == 200, answer
            client.on_run(answer.json, "events", {"kind": "step"}, status=201)
            client.on_run(answer.json, "transition", {"trigger": "complete"})
            done.append(answer.json["task"]["id"])


def test_the_agents_of_two_hosts_do_each_task_once(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as (one, two, _), Client(one) as client:
        hosts = (one, two)
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        ids = client.post("/tasks/bulk", {"tasks": [task] * TASKS}, status=201)["ids"]

        with ThreadPoolExecutor(AGENTS) as pool:
            done = list(pool.map(lambda n: work(hosts[n % 2], n), range(AGENTS)))

        assert Counter(id_ for each in done for id_ in each) == Counter(ids)
        assert any(done[0::2])
        assert any(done[1::2])
        assert client.get("/health")["tasks_by_stage"] == [{"stage": "done", "count": TASKS}]


def test_who_waits_at_one_host_is_woken_by_the_other(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as (one, two, url), Client(one) as client:
        pipeline_id = client.pipeline(SIMPLE)

        def wait(number: int) -> int:
            body = {"agent_id": f"a{number}", "agent_role": "coder", "wait_ms": WAIT_MS}
            with Client(two) as waiting:
                return waiting.send("POST", "/leases/claim", body).status

        with ThreadPoolExecutor(WAITING) as pool:
            statuses = [pool.submit(wait, number) for number in range(WAITING)]
            eventually(lambda: listeners(url) > 0)
            for _ in range(WAITING):
                client.task(pipeline_id)

            assert [status.result() for status in statuses] == [200] * WAITING


def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as (one, _, _), Client(one) as client:
        pipeline_id = client.pipeline(SIMPLE)
        client.task(pipeline_id)
        server = databases.server()

        def create() -> None:
            with Client(one) as other:
                other.task(pipeline_id)

        with ThreadPoolExecutor(1) as pool:
            server.stop("fast")
            creation = pool.submit(create)
            server.start()
            creation.result()

        assert len(client.pages("/tasks")) == 2
        eventually(lambda: client.send("GET", "/ready").status == 200)


@pytest.fixture(params=[network()])
def away(request: pytest.FixtureRequest) -> Iterator[Host]:
    with second_host(request.param, databases.server().folder) as host:
        yield host


def test_a_host_that_is_cut_off_loses_its_leases_to_the_other_and_comes_back(
    tmp_path: Path, away: Host
) -> None:
    url = databases.of_home(tmp_path)
    with ExitStack() as stack:
        here = stack.enter_context(tickets(tmp_path, "--workers", "2"))
        client = stack.enter_context(Client(here))
        task_id = client.task(client.pipeline(SIMPLE))
        with away.inside():
            line = away.proxy.url(url, **LINE)
            there = stack.enter_context(tickets(tmp_path, "--db", line, *IMPATIENT))
            cut_off = stack.enter_context(Client(there))
            lost = cut_off.claim("coder", "there", lease_ttl_ms=SHORT_MS)
        token = lost["lease_token"]
        beat = f"/leases/{lost['lease_id']}/heartbeat"
        step = f"/runs/{lost['run']['id']}/events"
        task = {**TASK, "pipeline_id": lost["task"]["pipeline_id"]}

        away.cut()
        with away.inside():
            # Nothing is waited for as long as for a heartbeat.
            heartbeat = Open(there, "POST", beat, token=token)
        refusals = [
            cut_off.send("POST", step, {"kind": "step"}, token=token),
            cut_off.send("GET", "/tasks"),
            cut_off.send("POST", "/tasks", task, key="k"),
        ]
        claim = client.claim("coder", "here", wait_ms=WAIT_MS)
        away.mend()

        assert [answer.json["error"]["code"] for answer in refusals] == ["busy"] * 3
        assert {answer.status for answer in refusals} == {503}
        assert (claim["task"]["id"], claim["run"]["attempt"]) == (task_id, 2)
        eventually(lambda: cut_off.send("GET", "/ready").status == 200)
        assert heartbeat.answer().status == 410
        cut_off.on_run(lost, "transition", {"trigger": "complete"}, status=410)
        client.on_run(claim, "transition", {"trigger": "complete"})
        cut_off.post("/tasks", task, status=201, key="k")
        assert len(client.pages("/tasks")) == 2
        assert [run["status"] for run in client.pages(f"/tasks/{task_id}/runs")] == [
            "stale",
            "completed",
        ]
        for each in (cut_off, client):
            each.close()
        assert (here.stop(), there.stop()) == (0, 0)
