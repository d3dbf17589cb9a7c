"""``/changes``; that every fact is in it is shown in tests/operations/test_changes.py."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, refused
from tickets.db.database import Database
from tickets.tracker.operations.retention import RetentionOperations


def test_a_change_tells_what_happened_to_what(client: Client, make: Factory) -> None:
    pipeline_id = make.pipeline(name="p")
    task_id = make.task(pipeline_id, assigned_agent_id="ada")

    assert client.get("/changes", status=200).json == {
        "items": [
            {
                "id": 1,
                "ts_ms": EPOCH_MS,
                "kind": "pipeline.created",
                "task_id": None,
                "run_id": None,
                "data": {"pipeline_id": pipeline_id, "name": "p"},
            },
            {
                "id": 2,
                "ts_ms": EPOCH_MS,
                "kind": "task.created",
                "task_id": task_id,
                "run_id": None,
                "data": {
                    "pipeline_id": pipeline_id,
                    "stage": "todo",
                    "assigned_agent_id": "ada",
                    "dependencies": [],
                },
            },
        ],
        "next_cursor": "2",
    }


# D-66: claims leave a trace
def test_a_claim_is_in_the_feed(client: Client, make: Factory) -> None:
    task_id = make.task()
    claim = make.claim(agent="a9")

    (change,) = client.get("/changes?kind=task.claimed").json["items"]

    assert (change["task_id"], change["run_id"]) == (task_id, claim["run"]["id"])
    assert change["data"] == {"agent_id": "a9", "agent_role": "coder", "attempt": 1}


def test_the_feed_is_filtered_by_kind(client: Client, make: Factory) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id)
    make.task(pipeline_id)
    make.claim()

    def kinds(kind: str) -> list[str]:
        return [item["kind"] for item in client.get(f"/changes?kind={kind}").json["items"]]

    assert kinds("task.created") == ["task.created"] * 2
    assert kinds("task.claimed") == ["task.claimed"]
    assert kinds("nope") == []


@pytest.mark.parametrize("filters", ["", "&kind=task.created"])
def test_a_consumer_sees_every_change_once(client: Client, make: Factory, filters: str) -> None:
    pipeline_id = make.pipeline()
    seen: list[str] = []
    created: list[str] = []

    cursor = "0"
    for _ in range(12):
        if len(created) < 7:
            created.append(make.task(pipeline_id))
        page = client.get(f"/changes?limit=2&after={cursor}{filters}", status=200).json
        seen += [item["task_id"] for item in page["items"] if item["task_id"]]
        cursor = page["next_cursor"]

    assert seen == created


def test_a_filter_that_keeps_nothing_still_moves_the_cursor(
    client: Client, make: Factory
) -> None:
    make.task()

    response = client.get("/changes?kind=nope", status=200)

    assert response.json == {"items": [], "next_cursor": "2"}


def test_a_cursor_behind_the_pruned_part_is_gone(
    client: Client, make: Factory, clock: FrozenClock, db: Database
) -> None:
    pipeline_id = make.pipeline()
    clock.advance(ms=10)
    make.task(pipeline_id)
    RetentionOperations(db, clock).prune_changes(older_than_ms=10)

    assert client.get("/changes?after=0", status=410).json == refused("changes_pruned")
    assert [item["id"] for item in client.get("/changes?after=1").json["items"]] == [2]
    assert [item["id"] for item in client.get("/changes").json["items"]] == [2]


def test_ids_are_not_used_again_after_a_prune(
    client: Client, make: Factory, clock: FrozenClock, db: Database
) -> None:
    pipeline_id = make.pipeline()
    RetentionOperations(db, clock).prune_changes(older_than_ms=0)

    make.task(pipeline_id)

    assert [item["id"] for item in client.get("/changes?after=1").json["items"]] == [2]


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_limit_is_1_to_1000(client: Client, limit: str) -> None:
    assert client.get(f"/changes?limit={limit}", status=400).json == refused("invalid_limit")


@pytest.mark.parametrize("after", ["", "x", "1:x", "9" * 20])
def test_a_cursor_of_another_list_is_refused(client: Client, after: str) -> None:
    assert client.get(f"/changes?after={after}", status=400).json == refused("invalid_cursor")


@pytest.mark.parametrize("wait_ms", ["-1", "60001", "x"])
def test_a_wait_is_at_most_a_minute(client: Client, wait_ms: str) -> None:
    response = client.get(f"/changes?wait_ms={wait_ms}", status=400)

    assert response.json["error"]["details"][0]["field"] == "wait_ms"


def test_a_cursor_beyond_the_newest_change_is_refused(client: Client, make: Factory) -> None:
    """After a restore from an older backup a consumer must not skip changes in silence."""
    make.pipeline()

    assert client.get("/changes?after=1").json == {"items": [], "next_cursor": "1"}
    assert client.get("/changes?after=2", status=400).json == refused("invalid_cursor")


def test_cursor_is_another_name_of_after(client: Client, make: Factory) -> None:
    make.task(make.pipeline())

    items = client.get("/changes?cursor=1").json["items"]

    assert [item["kind"] for item in items] == ["task.created"]


@pytest.mark.parametrize("query", ["cursor=&after=0", "after=0&cursor=x", "after=x&cursor=0"])
def test_a_cursor_that_cannot_be_read_is_refused_beside_one_that_can(
    client: Client, query: str
) -> None:
    assert client.get(f"/changes?{query}", status=400).json == refused("invalid_cursor")
