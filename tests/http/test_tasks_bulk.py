"""``POST /tasks/bulk``."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

from tests.conftest import Client
from tests.factories import Factory, Json, field_refused, refused, task_document


@pytest.fixture
def item(make: Factory) -> Json:
    return {"pipeline_id": make.pipeline(), "title": "Title", "description": "Description"}


def refuse_item(client: Client, items: list[Any], *, status: int) -> Any:
    response = client.post_json("/tasks/bulk", {"tasks": items}, status=status)
    assert client.get("/tasks").json["items"] == []
    return response.json


def test_many_tasks_are_created_in_the_order_of_the_request(client: Client, item: Json) -> None:
    items = [{**item, "title": f"t{index}"} for index in range(3)]

    ids = client.post_json("/tasks/bulk", {"tasks": items}, status=201).json["ids"]

    assert client.get("/tasks").json["items"] == [
        task_document(task_id, item["pipeline_id"], title=f"t{index}")
        for index, task_id in enumerate(ids)
    ]


# D-57: siblings may depend on each other
def test_items_refer_to_each_other_by_ref_in_either_direction(
    client: Client, make: Factory, item: Json
) -> None:
    items = [
        {**item, "depends_on_refs": ["b"]},
        {**item, "ref": "b"},
        {**item, "depends_on_refs": ["b"]},
    ]

    first, b, last = client.post_json("/tasks/bulk", {"tasks": items}, status=201).json["ids"]

    edge = [{"depends_on_task_id": b, "resolved": False, "dead_letter_reason": None}]
    assert client.get(f"/tasks/{first}/dependencies").json == edge
    assert client.get(f"/tasks/{last}/dependencies").json == edge
    assert make.claim()["task"]["id"] == b


# D-57: a refusal names the item
def of_refs(problem: str) -> Json:
    return {"field": "depends_on_refs", "problem": problem}


@pytest.mark.parametrize(
    ("bad", "status", "code", "problems"),
    [
        ({"title": None}, 400, "invalid_request", [{"field": "title", "problem": ANY}]),
        (
            {"retry_policy": {"max_attempts": 0}},
            400,
            "invalid_request",
            [{"field": "retry_policy.max_attempts", "problem": ANY}],
        ),
        (
            {"retry_policy": {"dead_letter_stage": "x"}},
            400,
            "invalid_request",
            [{"field": "retry_policy.dead_letter_stage", "problem": ANY}],
        ),
        ({"pipeline_id": "nope"}, 404, "pipeline_not_found", []),
        ({"dependencies": ["nope"]}, 404, "task_not_found", []),
        ({"depends_on_refs": ["nope"]}, 404, "task_not_found", [of_refs("'nope' is unknown")]),
        ({"ref": ""}, 400, "invalid_request", [{"field": "ref", "problem": ANY}]),
        ({"ref": "r" * 513}, 400, "invalid_request", [{"field": "ref", "problem": ANY}]),
        (
            {"ref": "me", "depends_on_refs": ["me"]},
            400,
            "invalid_dependency",
            [of_refs("'me' is the task itself")],
        ),
    ],
)
def test_one_bad_item_refuses_all_and_is_named(
    client: Client, item: Json, bad: Json, status: int, code: str, problems: Json
) -> None:
    error = refuse_item(client, [item, {**item, **bad}], status=status)

    assert error == refused(code, {"index": 1, "problems": problems})


def test_an_item_that_is_no_object_is_named(client: Client, item: Json) -> None:
    error = refuse_item(client, [item, 5], status=400)

    assert error == refused(
        "invalid_request", {"index": 1, "problems": [{"field": "body", "problem": ANY}]}
    )


def test_a_ref_is_used_once(client: Client, item: Json) -> None:
    error = refuse_item(client, [{**item, "ref": "a"}, {**item, "ref": "a"}], status=400)

    assert error == refused(
        "invalid_request", {"index": 1, "problems": [{"field": "ref", "problem": ANY}]}
    )


# D-05: cycles are refused in bulk too
def test_a_cycle_among_items_is_refused(client: Client, item: Json) -> None:
    items = [
        {**item, "ref": "a", "depends_on_refs": ["b"]},
        {**item, "ref": "b", "depends_on_refs": ["c"]},
        {**item, "ref": "c", "depends_on_refs": ["a"]},
    ]

    error = refuse_item(client, items, status=409)

    problems = [of_refs("a → b → c → a")]
    assert error == refused("dependency_cycle", {"index": 0, "problems": problems})


def test_the_same_sibling_twice_is_a_duplicate(client: Client, item: Json) -> None:
    items = [{**item, "ref": "a"}, {**item, "depends_on_refs": ["a", "a"]}]

    error = refuse_item(client, items, status=409)

    problems = [of_refs("'a' is named twice")]
    assert error == refused("duplicate_dependency", {"index": 1, "problems": problems})


@pytest.mark.parametrize("tasks", [None, {}, "x", 5])
def test_tasks_must_be_an_array(client: Client, tasks: Any) -> None:
    response = client.post_json("/tasks/bulk", {"tasks": tasks}, status=400)

    assert response.json == field_refused("tasks")


def test_tasks_are_required(client: Client) -> None:
    response = client.post_json("/tasks/bulk", {}, status=400)

    assert response.json == field_refused("tasks", "is required")


def test_an_empty_array_is_refused(client: Client) -> None:
    response = client.post_json("/tasks/bulk", {"tasks": []}, status=400)

    assert response.json == field_refused("tasks")


def test_10001_tasks_are_too_many(client: Client, item: Json) -> None:
    response = client.post_json("/tasks/bulk", {"tasks": [item] * 10_001}, status=400)

    assert response.json == field_refused("tasks")


def test_10000_tasks_are_not(client: Client, item: Json) -> None:
    response = client.post_json("/tasks/bulk", {"tasks": [item] * 10_000}, status=201)

    assert len(set(response.json["ids"])) == 10_000


def test_bulk_as_a_task_id_is_looked_up(client: Client) -> None:
    assert client.get("/tasks/bulk", status=404).json == refused("not_found")
