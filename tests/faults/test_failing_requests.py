"""Requests of which a statement fails: work and key are one, and so is a shared commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import Client
from tests.factories import Factory, Json, bearer, refused
from tests.faults.failing import FAILURES, LOST, Failure, Plan, failing, writer_of
from tests.faults.states import digest
from tests.process.clients import eventually
from tickets.db import batch
from tickets.db.database import Database
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, StorageFull

KINDS = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
ANSWERS = {
    Busy: (503, "busy"),
    StorageFull: (507, "storage_full"),
    RuntimeError: (500, "internal_error"),
}
KEY = {"Idempotency-Key": "k"}
CLIENTS = 5
PATIENCE_S = 30.0  # far beyond anything that works

Send = Callable[[], Any]


@pytest.fixture
def plan(caplog: pytest.LogCaptureFixture) -> Iterator[Plan]:
    caplog.set_level(logging.CRITICAL)  # a mistake of ours is logged each time
    with failing() as made:
        yield made


def a_new_task(client: Client, make: Factory) -> Send:
    body = {"pipeline_id": make.pipeline(), "title": "t", "description": ""}
    return lambda: post(client, "/tasks", body, KEY)


def a_transition(client: Client, make: Factory) -> Send:
    make.task()
    claim = make.claim()
    path = f"/runs/{claim['run']['id']}/transition"
    headers = {**KEY, **bearer(claim["lease_token"])}
    return lambda: post(client, path, {"trigger": "complete"}, headers)


def an_entry(client: Client, make: Factory) -> Send:
    return lambda: client.put_json("/store/n/k", {"value": 1}, headers=KEY, expect_errors=True)


def post(client: Client, path: str, body: Json, headers: dict[str, str]) -> Any:
    return client.post_json(path, body, headers=headers, expect_errors=True)


@KINDS
@pytest.mark.parametrize("prepare", [a_new_task, a_transition, an_entry])
def test_a_request_of_which_a_statement_fails_leaves_neither_work_nor_key(
    prepare: Callable[[Client, Factory], Send],
    failure: Failure,
    plan: Plan,
    client: Client,
    make: Factory,
    db: Database,
) -> None:
    send = prepare(client, make)
    before = digest(db)

    number = 2  # the first is BEGIN
    while (answer := sent_with(send, db, plan, number, failure)).status_int >= 300:
        assert (answer.status_int, answer.json) == refusal_of(failure), plan.failed
        assert digest(db) == before, plan.failed
        number += 1

    assert plan.failed is None
    assert number > 4
    assert any("INSERT INTO idempotency_keys" in sql for sql in plan.statements)
    done = digest(db)
    assert send().body == answer.body
    assert digest(db) == done != before


@pytest.mark.postgres
def test_a_request_that_loses_its_connection_is_answered_and_done_once(
    plan: Plan, client: Client, make: Factory, db: Database
) -> None:
    body = {"pipeline_id": make.pipeline(), "title": "t", "description": ""}
    ids: list[str] = []

    number = 1
    while True:
        key = {"Idempotency-Key": f"k{number}"}
        answer = sent_with(lambda: post(client, "/tasks", body, key), db, plan, number, LOST)  # noqa: B023  # at once
        assert answer.status_int == 201, plan.failed
        ids.append(answer.json["id"])
        if plan.failed is None:
            break
        number += 1

    assert number > 5
    assert plan.statements[-1] == "COMMIT"
    assert [task["id"] for task in client.get("/tasks?limit=1000").json["items"]] == ids


# On a server each request has a transaction of its own.
@pytest.mark.sqlite
@KINDS
def test_a_commit_that_fails_fails_every_request_that_shares_it(
    failure: Failure,
    plan: Plan,
    client: Client,
    make: Factory,
    db: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A slow machine must not end the batch early.
    monkeypatch.setattr(batch, "BATCH_SECONDS", PATIENCE_S)
    body = {"pipeline_id": make.pipeline(), "title": "t", "description": ""}
    before = digest(db)
    queue = db._process.gate._line._places

    def send(number: int) -> Any:
        return post(client, "/tasks", body, {"Idempotency-Key": f"k{number}"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        sent: list[Future[Any]] = []
        with suppress(failure.told), db.write():
            plan.when(lambda _, sql: sql == "COMMIT", failure)
            sent += [pool.submit(send, number) for number in range(CLIENTS)]
            eventually(lambda: len(queue) == CLIENTS)
        answers = [each.result(PATIENCE_S) for each in sent]

    assert plan.stop() == "COMMIT"
    assert plan.statements.count("SAVEPOINT member") == CLIENTS
    assert plan.statements.count("COMMIT") == 1
    for answer in answers:
        assert (answer.status_int, answer.json) == refusal_of(failure)
    assert digest(db) == before
    assert [send(number).status_int for number in range(CLIENTS)] == [201] * CLIENTS
    assert len(client.get("/tasks", status=200).json["items"]) == CLIENTS


def sent_with(send: Send, db: Database, plan: Plan, number: int, failure: Failure) -> Any:
    """Send the request with one failing statement; return the answer."""
    writer_of(db)
    plan.at(number, failure)
    try:
        return send()
    finally:
        plan.stop()


def refusal_of(failure: Failure) -> tuple[int, Json]:
    status, code = ANSWERS[failure.told]
    return status, refused(code)
