from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, bearer, refused
from tests.worlds import looked_up
from tickets.db.database import Database
from tickets.tracker.operations import retention as retention_module
from tickets.tracker.operations.retention import RetentionOperations

DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture
def retention(db: Database, clock: FrozenClock) -> RetentionOperations:
    return RetentionOperations(db, clock)


@pytest.fixture(params=[1, 2, 500])
def step_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a step end at, before and after the last row."""
    monkeypatch.setattr(retention_module, "STEP_ROWS", request.param)
    return int(request.param)


def count(db: Database, table: str) -> int:
    return int(looked_up(db, f"SELECT COUNT(*) FROM {table}")[0][0])


def test_an_ended_task_goes_with_all_that_belongs_to_it(
    retention: RetentionOperations,
    client: Client,
    make: Factory,
    clock: FrozenClock,
    db: Database,
) -> None:
    basis = make.finished(make.pipeline())
    task_id = make.task(dependencies=[basis], assigned_agent_id="a1")
    claim = make.claim()
    make.event(claim)
    make.on_run(claim, "gates", {"gate": "g", "status": "pass"}, status=201)
    client.post_json(
        "/artifacts",
        {"task_id": task_id, "run_id": claim["run"]["id"], "kind": "log", "uri": "file:///x"},
        status=201,
    )
    client.post_json("/artifacts", {"kind": "log", "uri": "file:///free"}, status=201)
    make.transition(claim)
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 2

    client.get(f"/tasks/{task_id}", status=404)
    client.get(f"/runs/{claim['run']['id']}", status=404)
    for table in (
        "tasks",
        "runs",
        "leases",
        "events",
        "gate_results",
        "task_dependencies",
        "task_assignments",
    ):
        assert count(db, table) == 0, table
    kept = client.get("/artifacts", status=200).json["items"]
    assert [artifact["uri"] for artifact in kept] == ["file:///free"]
    assert db.integrity_check() == []


def test_a_task_goes_when_its_last_change_is_as_old_as_asked_and_not_before(
    retention: RetentionOperations, make: Factory, clock: FrozenClock
) -> None:
    make.finished(make.pipeline())
    clock.advance(ms=DAY_MS - 1)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 0
    clock.advance(ms=1)
    assert retention.prune_tasks(older_than_ms=DAY_MS) == 1


def test_what_is_alive_stays(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    pipeline_id = make.pipeline()
    waiting = make.task(pipeline_id)
    held = make.task(pipeline_id, priority=2)
    claim = make.claim(lease_ttl_ms=DAY_MS)
    assert claim["task"]["id"] == held
    delayed = make.task(pipeline_id, priority=1, retry_policy={"retry_delay_ms": 5})
    make.fail(make.claim())
    clock.advance(ms=10 * DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 0

    for task_id in (waiting, held, delayed):
        client.get(f"/tasks/{task_id}", status=200)


def test_a_task_stays_while_another_depends_on_it(
    retention: RetentionOperations,
    client: Client,
    make: Factory,
    clock: FrozenClock,
    step_rows: int,
) -> None:
    pipeline_id = make.pipeline()
    first = make.finished(pipeline_id)
    second = make.task(pipeline_id, dependencies=[first], priority=1_000_000)
    third = make.task(pipeline_id, dependencies=[second])
    make.transition(make.claim())
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 0

    claim = make.claim()
    assert claim["task"]["id"] == third
    make.transition(claim)
    clock.advance(ms=DAY_MS)
    assert retention.prune_tasks(older_than_ms=DAY_MS) == 3
    assert client.get("/tasks", status=200).json["items"] == []


def test_dead_and_cancelled_tasks_go_but_one_in_triage_stays(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    triaged = make.pipeline(
        {
            "initial": "todo",
            "states": {
                "todo": {"agent_role": "coder"},
                "triage": {"agent_role": "human"},
                "done": {"terminal": True},
            },
            "transitions": [
                {"from": "todo", "to": "done", "trigger": "complete"},
                {"from": "triage", "to": "todo", "trigger": "again"},
            ],
        }
    )
    policy = {"max_attempts": 1}
    dead = make.task(retry_policy=policy)
    make.fail(make.claim())
    in_triage = make.task(triaged, retry_policy={**policy, "dead_letter_stage": "triage"})
    make.fail(make.claim())
    cancelled = make.task()
    client.post_json(f"/tasks/{cancelled}/cancel", {}, status=200)
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 2

    client.get(f"/tasks/{dead}", status=404)
    client.get(f"/tasks/{cancelled}", status=404)
    client.get(f"/tasks/{in_triage}", status=200)


def test_two_dead_tasks_that_wait_for_each_other_do_not_stay_for_ever(
    retention: RetentionOperations, make: Factory, client: Client, clock: FrozenClock
) -> None:
    first = make.task()
    second = make.task(dependencies=[first])
    for task_id in (first, second):
        client.post_json(f"/tasks/{task_id}/cancel", {}, status=200)
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 2


def test_a_long_chain_goes_in_one_call(
    retention: RetentionOperations, make: Factory, clock: FrozenClock, step_rows: int
) -> None:
    pipeline_id = make.pipeline()
    last: list[str] = []
    for _ in range(5):
        last = [make.task(pipeline_id, dependencies=last, priority=1_000_000)]
        make.transition(make.claim())
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 5


def test_old_changes_go_and_an_older_cursor_is_told(
    retention: RetentionOperations,
    client: Client,
    make: Factory,
    clock: FrozenClock,
    step_rows: int,
) -> None:
    make.finished(make.pipeline())
    middle = client.get("/changes?limit=2", status=200).json["next_cursor"]
    end = client.get("/changes", status=200).json["next_cursor"]
    clock.advance(ms=DAY_MS)
    make.task()

    pruned = retention.prune_changes(older_than_ms=DAY_MS)

    assert pruned == int(end)
    assert client.get(f"/changes?after={middle}", status=410).json == refused("changes_pruned")
    assert client.get("/changes?after=0", status=410).json == refused("changes_pruned")
    after_end = client.get(f"/changes?after={end}", status=200).json
    whole = client.get("/changes", status=200).json
    assert after_end == whole
    assert [change["kind"] for change in whole["items"]] == ["pipeline.created", "task.created"]


def test_an_emptied_feed_counts_on(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    end = client.get("/changes", status=200).json["next_cursor"]
    clock.advance(ms=DAY_MS)

    assert retention.prune_changes(older_than_ms=DAY_MS) == int(end)

    assert client.get("/changes", status=200).json == {"items": [], "next_cursor": end}
    make.task()
    fresh = client.get(f"/changes?after={end}", status=200).json["items"]
    assert [change["id"] for change in fresh] == [int(end) + 1, int(end) + 2]


def test_what_was_recorded_before_an_old_change_is_old_too(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    clock.advance(ms=2 * DAY_MS)
    make.pipeline()
    clock.advance(ms=-2 * DAY_MS)
    make.pipeline()
    clock.advance(ms=DAY_MS)

    assert retention.prune_changes(older_than_ms=DAY_MS) == 2

    assert client.get("/changes", status=200).json == {"items": [], "next_cursor": "2"}


def test_old_traces_and_keys_go_by_their_age(
    retention: RetentionOperations,
    client: Client,
    clock: FrozenClock,
    db: Database,
    step_rows: int,
) -> None:
    spans = {
        "resourceSpans": [
            {"scopeSpans": [{"spans": [{"traceId": "00", "spanId": "01", "name": "n"}]}]}
        ]
    }
    for number in range(3):
        client.post_json("/v1/traces", spans, status=200)
        client.post_json(
            "/artifacts",
            {"kind": "log", "uri": "file:///x"},
            headers={"Idempotency-Key": str(number)},
            status=201,
        )
        clock.advance(ms=DAY_MS)

    assert retention.prune_traces(older_than_ms=2 * DAY_MS) == 2
    assert retention.prune_idempotency_keys(older_than_ms=2 * DAY_MS) == 2

    assert len(client.get("/traces", status=200).json["items"]) == 1
    assert (count(db, "otlp_spans"), count(db, "idempotency_keys")) == (1, 1)


def test_a_pruned_holder_is_told_that_there_is_nothing(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    task_id = make.task()
    claim = make.claim()
    client.post_json(f"/tasks/{task_id}/cancel", {}, status=200)
    headers = bearer(claim["lease_token"])
    client.post(f"/leases/{claim['lease_id']}/heartbeat", headers=headers, status=410)
    clock.advance(ms=DAY_MS)

    assert retention.prune_tasks(older_than_ms=DAY_MS) == 1

    client.post(f"/leases/{claim['lease_id']}/heartbeat", headers=headers, status=404)


def test_a_page_that_began_before_goes_on_behind_a_pruned_task(
    retention: RetentionOperations, client: Client, make: Factory, clock: FrozenClock
) -> None:
    pipeline_id = make.pipeline()
    gone = make.finished(pipeline_id)
    kept = [make.task(pipeline_id) for _ in range(2)]
    cursor = client.get("/tasks?limit=1", status=200).json["next_cursor"]
    assert cursor == f"{EPOCH_MS}:{gone}"
    clock.advance(ms=DAY_MS)
    retention.prune_tasks(older_than_ms=DAY_MS)

    page = client.get("/tasks", {"cursor": cursor}, status=200).json

    assert [task["id"] for task in page["items"]] == kept
