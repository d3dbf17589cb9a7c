"""``/tasks/{id}/assignments``."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json, field_refused, refused


@pytest.fixture
def task_id(make: Factory) -> str:
    return make.task()


def assign(client: Client, task_id: str, agent_id: str, **fields: str) -> None:
    body = {"agent_id": agent_id, **fields}
    response = client.post_json(f"/tasks/{task_id}/assignments", body, status=201)
    assert response.json == {"status": "assigned"}


def row(task_id: str, agent_id: str, **changed: object) -> Json:
    return {
        "task_id": task_id,
        "agent_id": agent_id,
        "assigned_by": None,
        "active": True,
        "created_at_ms": EPOCH_MS,
        "updated_at_ms": EPOCH_MS,
        **changed,
    }


def test_only_the_assignee_can_claim(client: Client, make: Factory, task_id: str) -> None:
    assign(client, task_id, "a1")

    make.no_claim(agent="a2")

    assert make.claim(agent="a1")["task"]["id"] == task_id


# D-58: the change of hands is one step, of which the history stays
def test_the_history_has_one_row_for_each_agent_and_one_active(
    client: Client, clock: FrozenClock, task_id: str
) -> None:
    for agent_id in ("a1", "a2", "a1"):
        assign(client, task_id, agent_id, assigned_by=f"boss of {agent_id}")
        clock.advance(ms=10)

    assert client.get(f"/tasks/{task_id}/assignments", status=200).json == [
        row(task_id, "a1", assigned_by="boss of a1", updated_at_ms=EPOCH_MS + 20),
        row(
            task_id,
            "a2",
            assigned_by="boss of a2",
            active=False,
            created_at_ms=EPOCH_MS + 10,
            updated_at_ms=EPOCH_MS + 20,
        ),
    ]


def test_inside_the_task_an_assignment_does_not_repeat_its_id(
    client: Client, task_id: str
) -> None:
    assign(client, task_id, "a1")

    expected = row(task_id, "a1")
    del expected["task_id"]
    assert client.get(f"/tasks/{task_id}").json["assignments"] == [expected]


def test_a_repeated_assignment_is_fine(client: Client, task_id: str) -> None:
    assign(client, task_id, "a1")
    assign(client, task_id, "a1")

    assert client.get(f"/tasks/{task_id}/assignments").json == [row(task_id, "a1")]


def test_a_lease_of_somebody_else_is_not_disturbed(
    client: Client, make: Factory, task_id: str
) -> None:
    claim = make.claim(agent="a1")

    assign(client, task_id, "a2")

    make.heartbeat(claim)
    make.transition(claim)


def test_an_ended_assignment_opens_the_task_to_all(
    client: Client, make: Factory, clock: FrozenClock, task_id: str
) -> None:
    assign(client, task_id, "a/1 ü")
    clock.advance(ms=1)

    response = client.delete(f"/tasks/{task_id}/assignments/a%2F1%20%C3%BC", status=200)

    assert response.json == {"status": "unassigned"}
    assert client.get(f"/tasks/{task_id}/assignments").json == [
        row(task_id, "a/1 ü", active=False, updated_at_ms=EPOCH_MS + 1)
    ]
    make.claim(agent="a2")


def test_only_an_active_assignment_of_that_agent_can_be_ended(
    client: Client, task_id: str
) -> None:
    assign(client, task_id, "a1")
    assign(client, task_id, "a2")

    for path in (
        f"/tasks/{task_id}/assignments/a1",
        f"/tasks/{task_id}/assignments/a3",
        "/tasks/nope/assignments/a2",
    ):
        assert client.delete(path, status=404).json == refused("not_found")
    assert client.get(f"/tasks/{task_id}/assignments").json[1]["active"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "agent_id"),
        ({"agent_id": None}, "agent_id"),
        ({"agent_id": 1}, "agent_id"),
        ({"agent_id": "a" * 513}, "agent_id"),
        ({"agent_id": "a", "assigned_by": []}, "assigned_by"),
    ],
)
def test_an_assignment_of_a_wrong_shape_names_the_field(
    client: Client, task_id: str, body: Json, field: str
) -> None:
    response = client.post_json(f"/tasks/{task_id}/assignments", body, status=400)

    assert response.json == field_refused(field)


# D-13: an unknown parent is not an empty list
def test_an_unknown_task_has_no_assignments(client: Client) -> None:
    response = client.post_json("/tasks/nope/assignments", {"agent_id": "a"}, status=404)

    assert response.json == refused("task_not_found")
    assert client.get("/tasks/nope/assignments", status=404).json == refused("not_found")


# D-60: the array may be cut
def test_assignments_can_be_cut(client: Client, task_id: str) -> None:
    for agent_id in ("a1", "a2", "a3"):
        assign(client, task_id, agent_id)

    first = client.get(f"/tasks/{task_id}/assignments?limit=2", status=200)
    cursor = first.headers["X-Next-Cursor"]
    last = client.get(f"/tasks/{task_id}/assignments?limit=2&cursor={cursor}", status=200)

    assert [each["agent_id"] for each in first.json + last.json] == ["a1", "a2", "a3"]
    assert "X-Next-Cursor" not in last.headers


@pytest.mark.parametrize(
    ("query", "code"), [("limit=0", "invalid_limit"), ("cursor=1:x", "invalid_cursor")]
)
def test_a_cut_that_cannot_be_is_refused(
    client: Client, task_id: str, query: str, code: str
) -> None:
    response = client.get(f"/tasks/{task_id}/assignments?{query}", status=400)

    assert response.json == refused(code)
