"""A database that another process holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import Factory, bearer, refused
from tickets.app import Application
from tickets.config import Settings
from tickets.db.gate import Gate
from tickets.db.registry import Registry
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups

pytestmark = pytest.mark.sqlite

PATIENCE_S = 30.0  # far beyond anything that works


@pytest.fixture
def impatient(
    db: SqliteDatabase, registry: Registry, settings: Settings, clock: FrozenClock
) -> Iterator[Client]:
    """Return a client of a server that waits 20 ms for the database."""
    database = SqliteDatabase(
        db.path, registry=registry, wakeups=Wakeups(db.path), busy_timeout_ms=20
    )
    yield Client(Application(database, settings, clock))
    database.close()


# D-34: a bounded wait, then an answer that says when to come back
def test_a_held_database_is_answered_503_and_reads_go_on(
    db: SqliteDatabase, impatient: Client, make: Factory
) -> None:
    task_id = make.task()
    impatient.get(f"/tasks/{task_id}", status=200)

    with db.exclusive():
        response = impatient.post(f"/tasks/{task_id}/cancel", status=503)
        impatient.get(f"/tasks/{task_id}", status=200)

    assert response.json == refused("busy")
    assert int(response.headers["Retry-After"]) > 0
    impatient.post(f"/tasks/{task_id}/cancel", status=200)


def test_a_held_database_is_no_fault_of_one_task_of_many(
    db: SqliteDatabase, impatient: Client, make: Factory
) -> None:
    item = {"pipeline_id": make.pipeline(), "title": "t", "description": "d"}

    with db.exclusive():
        response = impatient.post_json("/tasks/bulk", {"tasks": [item]}, status=503)

    assert response.json == refused("busy")


# D-34: a heartbeat is tried harder, since a lost one kills a working agent
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["plain", "keyed"])
def test_a_heartbeat_waits_on_where_other_writes_give_up(
    db: SqliteDatabase,
    impatient: Client,
    make: Factory,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
) -> None:
    task_id = make.task()
    claim = make.claim()
    joins = threading.Semaphore(0)
    really_join = Gate.join

    def join(gate: Gate, deadline: float) -> object:
        joins.release()
        return really_join(gate, deadline)

    impatient.get(f"/tasks/{task_id}", status=200)
    with ThreadPoolExecutor() as pool:
        with db.exclusive():
            monkeypatch.setattr(Gate, "join", join)
            heartbeat = pool.submit(
                impatient.post,
                f"/leases/{claim['lease_id']}/heartbeat",
                headers={**bearer(claim["lease_token"]), **headers},
            )
            assert joins.acquire(timeout=PATIENCE_S)
            impatient.post(f"/tasks/{task_id}/cancel", status=503)
            assert not heartbeat.done()

        assert heartbeat.result(PATIENCE_S).status_int == 200
