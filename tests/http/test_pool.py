"""A process whose connections to PostgreSQL are all lent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.conftest import Client, FrozenClock
from tests.databases import server
from tests.factories import Factory, refused
from tickets.app import Application, open_database
from tickets.config import DatabaseUrl, Settings
from tickets.db.database import Database

pytestmark = pytest.mark.postgres

PATIENCE_S = 30.0
SIZE = 3


@pytest.fixture
def url() -> Iterator[str]:
    found = databases.fresh_url()
    yield found
    databases.drop(found)


@pytest.fixture
def opened(url: str) -> Iterator[Callable[..., Database]]:
    """Return a function that opens the database with other settings."""
    found: list[Database] = []

    def with_settings(**changed: Any) -> Database:
        found.append(open_database(Settings(db=DatabaseUrl(url), **changed)))
        return found[-1]

    yield with_settings
    for database in found:
        database.close()


def test_a_request_that_finds_no_connection_is_told_to_come_back(
    opened: Callable[..., Database], clock: FrozenClock
) -> None:
    db = opened(pool_size=1, busy_timeout_ms=20)
    client = Client(Application(db, Settings(db=Path("unused")), clock))
    make = Factory(client)
    make.pipeline()

    with ThreadPoolExecutor(1) as pool, db.read():
        claim = {"agent_id": "a", "agent_role": "r"}
        for act in (
            pool.submit(client.get, "/tasks", status=503),
            pool.submit(client.post_json, "/leases/claim", claim, status=503),
        ):
            response = act.result(PATIENCE_S)
            assert response.json == refused("busy")
            assert "in use" in response.json["error"]["message"]
            assert int(response.headers["Retry-After"]) > 0

    client.get("/tasks", status=200)


def test_a_process_holds_as_many_connections_as_it_may(
    opened: Callable[..., Database], url: str
) -> None:
    db = opened(pool_size=SIZE)
    meet = threading.Barrier(SIZE, timeout=PATIENCE_S)

    def ask(number: int) -> None:
        with db.read():
            if number < SIZE:
                meet.wait()

    with ThreadPoolExecutor(4 * SIZE) as pool:
        list(pool.map(ask, range(4 * SIZE)))

    count = f"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{databases.name_of(url)}'"
    assert server().value(count) == SIZE
