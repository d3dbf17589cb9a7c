"""A network to the database server that stands still, with connections that stay open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.conftest import Client, FrozenClock
from tests.drills import IS_DRILL
from tests.factories import Factory, refused
from tests.process.clients import Client as Agent
from tests.process.clients import eventually, tickets
from tests.process.proxies import Proxy, proxy_to
from tickets.app import Application
from tickets.config import Settings
from tickets.db import postgres_watch
from tickets.db.postgres_database import PostgresDatabase

pytestmark = pytest.mark.postgres

STALLED_S = 0.5
BUSY_TIMEOUT_MS = 500
# The least that can be asked for.
CONNECT_S = 2
# Some tries to connect and all that may be slow here; far less than for ever.
BOUND_S = 20.0
CLIENTS = 4
PIPELINE = {
    "initial": "todo",
    "states": {"todo": {"agent_role": "coder"}, "done": {"terminal": True}},
    "transitions": [{"from": "todo", "to": "done", "trigger": "complete"}],
}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxy_to(databases.server().folder) as made:
        yield made


@contextmanager
def stalled(proxy: Proxy) -> Iterator[None]:
    """Let nothing through during the block."""
    proxy.stall()
    try:
        yield
    finally:
        proxy.flow()


@pytest.fixture
def slow(
    tmp_path: Path, proxy: Proxy, settings: Settings, clock: FrozenClock
) -> Iterator[PostgresDatabase]:
    with pytest.MonkeyPatch.context() as patch:
        # Read where a pool is made.
        patch.setattr(postgres_watch.Watch.__init__, "__kwdefaults__", {"stalled_s": STALLED_S})
        url = proxy.url(databases.of_home(tmp_path), connect_timeout=CONNECT_S)
        database = databases.open_place(url, busy_timeout_ms=BUSY_TIMEOUT_MS)
    assert isinstance(database, PostgresDatabase)
    with closing(database):
        yield database


@pytest.fixture
def client(slow: PostgresDatabase, settings: Settings, clock: FrozenClock) -> Client:
    return Client(Application(slow, settings, clock, random_unit=lambda: 0.5))


def test_requests_are_answered_503_in_time_and_go_on_afterwards(
    client: Client, proxy: Proxy, make: Factory
) -> None:
    body = {"pipeline_id": make.pipeline(), "title": "t", "description": "d"}

    def create(number: int) -> Any:
        headers = {"Idempotency-Key": f"k{number}"}
        return client.post_json("/tasks", body, headers=headers, expect_errors=True)

    with ThreadPoolExecutor(CLIENTS) as pool:
        # As many connections as there are clients, and then none that answers.
        list(pool.map(create, range(CLIENTS)))
        with stalled(proxy):
            reading = pool.submit(client.get, "/tasks", expect_errors=True)
            numbers = range(CLIENTS, 2 * CLIENTS)
            answers = list(pool.map(create, numbers, timeout=BOUND_S))
            answers.append(reading.result(BOUND_S))
        again = list(pool.map(create, range(2 * CLIENTS)))

    for answer in answers:
        assert answer.status_int == 503
        assert answer.json == refused("busy")
    assert [answer.status_int for answer in again] == [201] * 2 * CLIENTS
    assert len(client.get("/tasks").json["items"]) == 2 * CLIENTS


def test_a_block_that_lasts_is_left_alone_while_the_server_answers(
    slow: PostgresDatabase,
) -> None:
    with slow.write() as tx, tx.raw() as connection:
        connection.execute(f"SELECT pg_sleep({4 * STALLED_S})")
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.drill
@pytest.mark.skipif(not IS_DRILL, reason="waits as long as a service does; TICKETS_DRILL=1")
def test_a_service_behind_a_network_that_stands_still_comes_back(
    tmp_path: Path, proxy: Proxy
) -> None:
    url = proxy.url(databases.of_home(tmp_path), connect_timeout=CONNECT_S)
    with tickets(tmp_path, "--db", url, "--workers", "2") as server, Agent(server) as agent:
        task = {"pipeline_id": agent.pipeline(PIPELINE), "title": "t", "description": ""}

        def create(number: int) -> tuple[int, float]:
            with Agent(server) as own:
                began = time.monotonic()
                answer = own.send("POST", "/tasks", task, key=f"k{number}")
                return answer.status, time.monotonic() - began

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(create, range(CLIENTS)))
            with stalled(proxy):
                refused_after = list(pool.map(create, range(CLIENTS, 2 * CLIENTS)))
        print("answered after", [f"{each:.1f} s" for _, each in refused_after])  # noqa: T201

        assert {status for status, _ in refused_after} == {503}
        for number in range(2 * CLIENTS):
            eventually(lambda: create(number)[0] == 201)  # noqa: B023  # at once
        assert len(agent.pages("/tasks")) == 2 * CLIENTS
        assert server.stop() == 0
