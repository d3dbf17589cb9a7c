"""Waiting claims and waiting readers of the feed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.databases import POSTGRES
from tests.factories import REVIEW, Factory, Json
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.db.wakeups import Subscription

PATIENCE_S = 30.0  # far beyond anything that works
MAX_WAIT_MS = 60_000

Begin = Callable[[Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(db=settings.db, wait_slots=2)


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, app: Application, db: Database) -> Iterator[Begin]:
    """Return a function that starts a request and comes back once it waits."""
    if db.dialect == POSTGRES:
        # Who begins to listen to the server wakes everybody once. Let that be over.
        with db.wakeups.subscribe(["none"]) as nobody:
            assert nobody.wait(PATIENCE_S)
    waits = threading.Semaphore(0)
    really_wait = Subscription.wait

    def wait(subscription: Subscription, timeout_s: float) -> bool:
        waits.release()
        return really_wait(subscription, timeout_s)

    monkeypatch.setattr(Subscription, "wait", wait)
    with ThreadPoolExecutor() as pool:

        def start(request: Callable[[], Any]) -> Future[Any]:
            future = pool.submit(request)
            assert waits.acquire(timeout=PATIENCE_S), future
            return future

        yield start
        app.stop()


@pytest.fixture
def claim_later(begin: Begin, client: Client) -> Callable[..., Future[Any]]:
    def start(agent: str = "a1", role: str = "coder", **fields: Any) -> Future[Any]:
        body = {"agent_id": agent, "agent_role": role, "wait_ms": MAX_WAIT_MS, **fields}
        return begin(lambda: client.post_json("/leases/claim", body))

    return start


def result(future: Future[Any]) -> Json:
    response = future.result(PATIENCE_S)
    assert response.status_int == 200
    answer: Json = response.json
    return answer


def test_a_waiting_claim_gets_a_task_that_is_created(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    waiting = claim_later()

    task_id = make.task()

    assert result(waiting)["task"]["id"] == task_id


def test_a_waiting_claim_gets_a_task_that_reaches_its_stage(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    make.task(make.pipeline(REVIEW))
    claim = make.claim()
    waiting = claim_later(role="reviewer")

    make.transition(claim, "submit")

    assert result(waiting)["task"]["id"] == claim["task"]["id"]


def test_a_waiting_claim_gets_a_task_whose_dependency_is_done(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    pipeline_id = make.pipeline()
    first = make.task(pipeline_id)
    blocked = make.task(pipeline_id, dependencies=[first])
    claim = make.claim()
    waiting = claim_later()

    make.transition(claim)

    assert result(waiting)["task"]["id"] == blocked


def test_a_waiting_claim_gets_a_task_whose_dependency_is_removed(
    client: Client, make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    pipeline_id = make.pipeline()
    first = make.task(pipeline_id, assigned_agent_id="somebody else")
    blocked = make.task(pipeline_id, dependencies=[first])
    waiting = claim_later()

    client.delete(f"/tasks/{blocked}/dependencies/{first}", status=200)

    assert result(waiting)["task"]["id"] == blocked


def test_a_waiting_claim_gets_a_task_that_is_released_requeued_or_failed(
    client: Client, make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    task_id = make.task()

    claim = make.claim()
    waiting = claim_later()
    make.on_run(claim, "release", {})
    claim = result(waiting)

    waiting = claim_later()
    make.fail(claim)
    claim = result(waiting)

    waiting = claim_later()
    client.post(f"/tasks/{task_id}/cancel", status=200)
    client.post(f"/tasks/{task_id}/requeue", status=200)
    assert result(waiting)["run"]["attempt"] == 4


def test_a_waiting_claim_gets_a_task_that_is_assigned_to_its_agent(
    client: Client, make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    task_id = make.task(assigned_agent_id="a2")
    waiting = claim_later(agent="a1")

    body = {"agent_id": "a1"}
    client.post_json(f"/tasks/{task_id}/assignments", body, status=201)

    assert result(waiting)["task"]["id"] == task_id


def test_a_waiting_claim_gets_a_task_that_is_no_longer_assigned(
    client: Client, make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    task_id = make.task(assigned_agent_id="a2")
    waiting = claim_later(agent="a1")

    client.delete(f"/tasks/{task_id}/assignments/a2", status=200)

    assert result(waiting)["task"]["id"] == task_id


def test_a_waiting_claim_gets_a_task_whose_delay_or_lease_is_over(
    app: Application,
    make: Factory,
    clock: FrozenClock,
    claim_later: Callable[..., Future[Any]],
) -> None:
    make.task(retry_policy={"retry_delay_ms": 100})
    claim = make.claim(lease_ttl_ms=1_000)
    waiting = claim_later()

    clock.advance(ms=1_000)
    app.housekeeping.advance_readiness()
    assert not waiting.done()
    clock.advance(ms=100)
    app.housekeeping.advance_readiness()

    assert result(waiting)["task"]["id"] == claim["task"]["id"]


# D-63: a claim with a limit waits for a place
def test_a_claim_with_a_limit_gets_the_place_that_comes_free(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id)
    second = make.task(pipeline_id)
    claim = make.claim()
    waiting = claim_later(concurrency={"per_state": {"todo": 1}})

    make.transition(claim)

    assert result(waiting)["task"]["id"] == second


def test_one_task_wakes_one_of_two_waiting_claims(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    pipeline_id = make.pipeline()
    older, younger = claim_later("a1"), claim_later("a2")

    first = make.task(pipeline_id)
    assert result(older)["task"]["id"] == first
    assert not younger.done()
    second = make.task(pipeline_id)

    assert result(younger)["task"]["id"] == second


def test_a_wait_that_finds_no_place_is_answered_at_once(
    make: Factory, claim_later: Callable[..., Future[Any]]
) -> None:
    claim_later("a1"), claim_later("a2")

    make.no_claim(agent="a3", wait_ms=MAX_WAIT_MS)


def test_a_server_that_stops_answers_who_waits(
    app: Application, claim_later: Callable[..., Future[Any]]
) -> None:
    waiting = claim_later()

    app.stop()

    assert waiting.result(PATIENCE_S).status_int == 204


def test_a_wait_that_is_over_is_empty(make: Factory) -> None:
    make.no_claim(wait_ms=1)


def test_a_waiting_claim_is_repeated_by_its_key(
    client: Client, make: Factory, begin: Begin
) -> None:
    body = {"agent_id": "a1", "agent_role": "coder", "wait_ms": MAX_WAIT_MS}
    headers = {"Idempotency-Key": "k"}
    waiting = begin(lambda: client.post_json("/leases/claim", body, headers=headers))

    make.task()
    claim = result(waiting)

    again = client.post_json("/leases/claim", body, headers=headers, status=200).json
    assert again["lease_id"] == claim["lease_id"]


def test_every_waiting_reader_of_the_feed_sees_a_change(
    client: Client, make: Factory, begin: Begin
) -> None:
    pipeline_id = make.pipeline()
    cursor = client.get("/changes").json["next_cursor"]
    url = f"/changes?after={cursor}&wait_ms={MAX_WAIT_MS}&kind=task.created"
    readers = [begin(lambda: client.get(url)) for _ in range(2)]

    task_id = make.task(pipeline_id)

    for reader in readers:
        assert [item["task_id"] for item in result(reader)["items"]] == [task_id]


def test_a_feed_that_stays_silent_answers_with_the_cursor(client: Client, db: Database) -> None:
    response = client.get("/changes?wait_ms=1", status=200)

    assert response.json == {"items": [], "next_cursor": "0"}


def test_a_claim_that_finds_no_place_to_wait_is_told_to_pause(
    claim_later: Callable[..., Future[Any]], make: Factory
) -> None:
    make.pipeline()
    claim_later(agent="a1")
    claim_later(agent="a2")

    assert make.no_claim(agent="a3", wait_ms=MAX_WAIT_MS).headers["Retry-After"] == "1"
    assert "Retry-After" not in make.no_claim(agent="a3").headers
