"""``/tasks/{id}/dependencies``."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.conftest import Client
from tests.factories import Factory, Json, field_refused, refused


@pytest.fixture
def pipeline_id(make: Factory) -> str:
    return make.pipeline()


def add(client: Client, task_id: str, on: str, *, status: int = 201) -> Json:
    body = {"depends_on_task_id": on}
    answer: Json = client.post_json(f"/tasks/{task_id}/dependencies", body, status=status).json
    return answer


def edge(on: str, *, resolved: bool = False, reason: str | None = None) -> Json:
    return {"depends_on_task_id": on, "resolved": resolved, "dead_letter_reason": reason}


def test_a_task_waits_for_another(client: Client, make: Factory, pipeline_id: str) -> None:
    first, waiting = make.task(pipeline_id), make.task(pipeline_id, priority=9)

    assert add(client, waiting, first) == {"status": "created"}

    assert client.get(f"/tasks/{waiting}/dependencies", status=200).json == [edge(first)]
    claim = make.claim()
    assert claim["task"]["id"] == first
    make.transition(claim)
    assert client.get(f"/tasks/{waiting}/dependencies").json == [edge(first, resolved=True)]
    assert make.claim()["task"] | {"priority": 9, "task_version": 1} == make_task(
        client, waiting
    )


def make_task(client: Client, task_id: str) -> Json:
    row: Json = next(r for r in client.get("/tasks").json["items"] if r["id"] == task_id)
    return row


# D-08: a dead-lettered dependency blocks, and its row says why
def test_a_task_does_not_start_on_a_failed_basis(
    client: Client, make: Factory, pipeline_id: str
) -> None:
    policy = {"max_attempts": 1, "dead_letter_stage": "done"}
    first = make.task(pipeline_id, retry_policy=policy)
    waiting = make.task(pipeline_id, dependencies=[first])

    make.fail(make.claim())

    make.no_claim()
    assert client.get(f"/tasks/{waiting}/dependencies").json == [
        edge(first, reason="max_attempts_exceeded")
    ]


# D-60: the array may be cut, the header says where to go on
def test_dependencies_are_listed_oldest_first_and_can_be_cut(
    client: Client, make: Factory, pipeline_id: str
) -> None:
    task_id = make.task(pipeline_id)
    targets = [make.task(pipeline_id) for _ in range(5)][::-1]
    for target in targets:
        add(client, task_id, target)
    seen: list[str] = []

    url = f"/tasks/{task_id}/dependencies?limit=2"
    cursor: str | None = ""
    while cursor is not None:
        response = client.get(url + (f"&cursor={cursor}" if cursor else ""), status=200)
        seen += [row["depends_on_task_id"] for row in response.json]
        cursor = response.headers.get("X-Next-Cursor")

    assert seen == targets


def test_a_task_cannot_depend_on_itself_known_or_not(client: Client, make: Factory) -> None:
    task_id = make.task()

    assert add(client, task_id, task_id, status=400) == refused("invalid_dependency")
    assert add(client, "nope", "nope", status=400) == refused("invalid_dependency")


def test_both_tasks_must_exist_the_waiting_one_first(client: Client, make: Factory) -> None:
    task_id = make.task()

    assert add(client, "nope", task_id, status=404) == refused("task_not_found")
    assert add(client, "nope", "neither", status=404) == refused("task_not_found")
    assert add(client, task_id, "nope", status=404) == refused("dependency_task_not_found")


def test_an_edge_exists_once(client: Client, make: Factory, pipeline_id: str) -> None:
    first, second = make.task(pipeline_id), make.task(pipeline_id)
    add(client, first, second)

    assert add(client, first, second, status=409) == refused("duplicate_dependency")


# D-05: no circle can be closed, however long
@pytest.mark.parametrize("length", [2, 3, 10])
def test_an_edge_that_closes_a_circle_is_refused(
    client: Client, make: Factory, pipeline_id: str, length: int
) -> None:
    ids = [make.task(pipeline_id) for _ in range(length)]
    for task_id, on in pairwise(ids):
        add(client, task_id, on)

    way = " → ".join(ids)
    assert add(client, ids[-1], ids[0], status=409) == refused(
        "dependency_cycle", [{"field": "cycle", "problem": way}]
    )
    assert client.get(f"/tasks/{ids[-1]}/dependencies").json == []


@pytest.mark.parametrize("body", [{}, {"depends_on_task_id": None}, {"depends_on_task_id": 5}])
def test_the_other_task_is_required(client: Client, make: Factory, body: Json) -> None:
    response = client.post_json(f"/tasks/{make.task()}/dependencies", body, status=400)

    assert response.json == field_refused("depends_on_task_id")


# D-55: edges can be taken away
def test_a_removed_edge_no_longer_blocks(
    client: Client, make: Factory, pipeline_id: str
) -> None:
    first = make.task(pipeline_id)
    waiting = make.task(pipeline_id, dependencies=[first], priority=9)

    response = client.delete(f"/tasks/{waiting}/dependencies/{first}", status=200)

    assert response.json == {"status": "deleted"}
    assert client.get(f"/tasks/{waiting}/dependencies").json == []
    assert make.claim()["task"]["id"] == waiting


def test_an_edge_that_is_not_there_cannot_be_removed(client: Client, make: Factory) -> None:
    task_id = make.task()

    for path in (f"/tasks/{task_id}/dependencies/nope", f"/tasks/nope/dependencies/{task_id}"):
        assert client.delete(path, status=404).json == refused("not_found")


# D-13: an unknown parent is not an empty list
def test_the_dependencies_of_an_unknown_task_are_not_found(client: Client) -> None:
    assert client.get("/tasks/nope/dependencies", status=404).json == refused("not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
    ],
)
def test_a_cut_that_cannot_be_is_refused(
    client: Client, make: Factory, query: str, code: str
) -> None:
    response = client.get(f"/tasks/{make.task()}/dependencies?{query}", status=400)

    assert response.json == refused(code)


def test_an_edge_moves_no_version(client: Client, make: Factory, pipeline_id: str) -> None:
    first, second = make.task(pipeline_id), make.task(pipeline_id)
    before = make_task(client, first)

    add(client, first, second)

    assert make_task(client, first) == before
