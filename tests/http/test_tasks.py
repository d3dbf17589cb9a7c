"""``POST /tasks`` and ``GET /tasks``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import (
    EPOCH_MS,
    REVIEW,
    SIMPLE,
    Factory,
    Json,
    field_refused,
    refused,
    task_document,
)


@pytest.fixture
def pipeline_id(make: Factory) -> str:
    return make.pipeline()


@pytest.fixture
def body(pipeline_id: str) -> Json:
    return {"pipeline_id": pipeline_id, "title": "Title", "description": "Description"}


def test_a_new_task_has_its_defaults(client: Client, body: Json) -> None:
    response = client.post_json("/tasks", body, status=201)

    assert list(response.json) == ["id"]
    assert client.get("/tasks").json == {
        "items": [task_document(response.json["id"], body["pipeline_id"])],
        "next_cursor": None,
    }


def test_a_new_task_keeps_everything_it_was_given(client: Client, body: Json) -> None:
    given = {
        **body,
        "title": "",
        "description": "Ünï",
        "priority": -5,
        "metadata": {"a": [1, None, {"b": "c"}]},
        "retry_policy": {
            "max_attempts": 3,
            "retry_delay_ms": 100,
            "dead_letter_stage": "done",
            "backoff": {"factor": 2, "max_delay_ms": 1000, "jitter": 0.5},
        },
        "unknown": True,
    }

    task_id = client.post_json("/tasks", given, status=201).json["id"]

    assert client.get("/tasks").json["items"] == [
        task_document(
            task_id,
            body["pipeline_id"],
            title="",
            description="Ünï",
            priority=-5,
            metadata=given["metadata"],
            max_attempts=3,
            retry_delay_ms=100,
            dead_letter_stage="done",
            retry_backoff={"factor": 2, "max_delay_ms": 1000, "jitter": 0.5},
        )
    ]


def test_null_in_an_optional_field_is_absent(client: Client, body: Json) -> None:
    nothing = dict.fromkeys(
        ("priority", "metadata", "retry_policy", "dependencies", "assigned_agent_id")
    )

    task_id = client.post_json("/tasks", {**body, **nothing}, status=201).json["id"]

    assert client.get("/tasks").json["items"] == [task_document(task_id, body["pipeline_id"])]


def test_a_task_is_created_with_its_dependencies_and_assignment(
    client: Client, make: Factory, body: Json
) -> None:
    first, second = make.task(body["pipeline_id"]), make.task(body["pipeline_id"])

    given = {
        **body,
        "dependencies": [second, first],
        "assigned_agent_id": "a1",
        "assigned_by": "boss",
    }
    task_id = client.post_json("/tasks", given, status=201).json["id"]

    assert client.get(f"/tasks/{task_id}").json == task_document(
        task_id,
        body["pipeline_id"],
        dependencies=[
            {"depends_on_task_id": second, "resolved": False, "dead_letter_reason": None},
            {"depends_on_task_id": first, "resolved": False, "dead_letter_reason": None},
        ],
        assignments=[
            {
                "agent_id": "a1",
                "assigned_by": "boss",
                "active": True,
                "created_at_ms": EPOCH_MS,
                "updated_at_ms": EPOCH_MS,
            }
        ],
        available_transitions=[{"trigger": "complete", "to": "done", "required_gates": []}],
    )


def test_assigned_by_alone_assigns_nobody(client: Client, body: Json) -> None:
    task_id = client.post_json("/tasks", {**body, "assigned_by": "boss"}).json["id"]

    assert client.get(f"/tasks/{task_id}/assignments").json == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"pipeline_id": None}, "pipeline_id"),
        ({"title": None}, "title"),
        ({"title": 5}, "title"),
        ({"title": "t" * 1001}, "title"),
        ({"description": None}, "description"),
        ({"priority": 5.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 2**63}, "priority"),
        ({"priority": -(2**63) - 1}, "priority"),
        # D-24: no integers from strings, no strings from arrays
        ({"priority": "7"}, "priority"),
        ({"title": [97, 98]}, "title"),
        # D-23: metadata is an object
        ({"metadata": []}, "metadata"),
        ({"metadata": "{}"}, "metadata"),
        ({"metadata": 5}, "metadata"),
        # D-11: bounds
        ({"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts"),
        ({"retry_policy": {"max_attempts": 2**31}}, "retry_policy.max_attempts"),
        ({"retry_policy": {"retry_delay_ms": -1}}, "retry_policy.retry_delay_ms"),
        (
            {"retry_policy": {"retry_delay_ms": 315_360_000_001}},
            "retry_policy.retry_delay_ms",
        ),
        ({"retry_policy": {"backoff": {"factor": 0.9}}}, "retry_policy.backoff.factor"),
        ({"retry_policy": {"backoff": {"jitter": 1.1}}}, "retry_policy.backoff.jitter"),
        (
            {"retry_policy": {"backoff": {"max_delay_ms": -1}}},
            "retry_policy.backoff.max_delay_ms",
        ),
        # D-22: an unknown stage would never be reached
        ({"retry_policy": {"dead_letter_stage": "x"}}, "retry_policy.dead_letter_stage"),
        ({"dependencies": "x"}, "dependencies"),
        ({"dependencies": [5]}, "dependencies[0]"),
        ({"assigned_agent_id": "a" * 513}, "assigned_agent_id"),
        ({"assigned_agent_id": "é" * 257}, "assigned_agent_id"),
        ({"assigned_by": "a" * 513}, "assigned_by"),
    ],
)
# D-20: a refusal names the field
def test_a_task_document_of_a_wrong_shape_names_the_field(
    client: Client, body: Json, changed: Json, field: str
) -> None:
    response = client.post_json("/tasks", {**body, **changed}, status=400)

    assert response.json == field_refused(field)
    assert client.get("/tasks").json["items"] == []


@pytest.mark.parametrize("field", ["pipeline_id", "title", "description"])
def test_a_missing_field_is_named(client: Client, body: Json, field: str) -> None:
    del body[field]

    response = client.post_json("/tasks", body, status=400)

    assert response.json == field_refused(field, "is required")


@pytest.mark.parametrize(
    "changed",
    [
        {"priority": 2**63 - 1},
        {"priority": -(2**63)},
        {"priority": 5.0},
        {"title": "é" * 1000},
        {"retry_policy": {"max_attempts": 1, "retry_delay_ms": 0}},
        {"retry_policy": {"max_attempts": 2**31 - 1, "retry_delay_ms": 315_360_000_000}},
        {"retry_policy": {"max_attempts": 2.0}},
        {"retry_policy": {}},
        {"assigned_agent_id": "a" * 512},
        {"dependencies": []},
    ],
)
def test_the_last_values_that_fit_are_taken(client: Client, body: Json, changed: Json) -> None:
    client.post_json("/tasks", {**body, **changed}, status=201)


def test_an_unknown_pipeline_is_refused(client: Client, body: Json) -> None:
    response = client.post_json("/tasks", {**body, "pipeline_id": "nope"}, status=404)

    assert response.json == refused("pipeline_not_found")


@pytest.mark.parametrize("dependency", ["nope", ""])
def test_an_unknown_dependency_leaves_no_task_behind(
    client: Client, body: Json, dependency: str
) -> None:
    response = client.post_json("/tasks", {**body, "dependencies": [dependency]}, status=404)

    assert response.json == refused("task_not_found")
    assert client.get("/tasks").json["items"] == []


def test_a_dependency_named_twice_leaves_no_task_behind(
    client: Client, make: Factory, body: Json
) -> None:
    other = make.task(body["pipeline_id"])

    response = client.post_json("/tasks", {**body, "dependencies": [other] * 2}, status=409)

    assert response.json == refused("duplicate_dependency")
    assert [row["id"] for row in client.get("/tasks").json["items"]] == [other]


def test_tasks_are_filtered_by_stage_and_pipeline(client: Client, make: Factory) -> None:
    simple, review = make.pipeline(SIMPLE), make.pipeline(REVIEW)
    todo, coding = make.task(simple), make.task(review)

    def ids(**filters: Any) -> list[str]:
        return [row["id"] for row in client.get("/tasks", filters).json["items"]]

    assert ids() == [todo, coding]
    assert ids(stage="todo") == [todo]
    assert ids(pipeline_id=review) == [coding]
    assert ids(pipeline_id=review, stage="coding") == [coding]
    assert ids(pipeline_id=review, stage="todo") == []
    assert ids(stage="") == ids(pipeline_id="") == ids(stage="nope") == ids(stage="null") == []


# D-02: query values are decoded, however the client wrote them
@pytest.mark.parametrize("written", ["in%20review+%C3%BC", "in+review%20ü"])
def test_a_stage_with_blanks_and_umlauts_is_found(
    client: Client, make: Factory, written: str
) -> None:
    stage = "in review ü"
    pipeline_id = make.pipeline(
        {
            "initial": stage,
            "states": {stage: {}, "done": {"terminal": True}},
            "transitions": [{"from": stage, "to": "done", "trigger": "t"}],
        }
    )
    task_id = make.task(pipeline_id)

    raw = written.encode().decode("latin-1")
    response = client.get("/tasks", extra_environ={"QUERY_STRING": f"stage={raw}"})

    assert [row["id"] for row in response.json["items"]] == [task_id]


def test_the_first_of_two_parameters_counts_and_a_bare_name_is_absent(
    client: Client, make: Factory
) -> None:
    task_id = make.task()

    response = client.get("/tasks?limit&stage=todo&stage=nope&unknown=1", status=200)

    assert [row["id"] for row in response.json["items"]] == [task_id]


@pytest.mark.parametrize("query", ["stage=%ff", "stage=%00"])
def test_a_query_that_is_not_text_is_refused(client: Client, query: str) -> None:
    response = client.get(f"/tasks?{query}", status=400)

    assert response.json["error"]["code"] == "invalid_request"


# D-01: a cursor names the last row returned, so that a walk sees every row once
@pytest.mark.parametrize("filters", ["", "&stage=todo", "&pipeline_id={p}"])
@pytest.mark.parametrize("separator", [":", "%3A"])
def test_a_walk_sees_every_task_once(
    client: Client, make: Factory, clock: FrozenClock, filters: str, separator: str
) -> None:
    pipeline_id = make.pipeline()
    ids = []
    for index in range(10):
        ids.append(make.task(pipeline_id))
        clock.advance(ms=index % 2)
    if "pipeline" in filters:
        filters = filters.format(p=pipeline_id)
    seen: list[str] = []

    cursor = ""
    while True:
        page = client.get(f"/tasks?limit=3{filters}{cursor}", status=200).json
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        # D-02: standard libraries encode the colon
        cursor = "&cursor=" + page["next_cursor"].replace(":", separator)

    assert seen == ids


# D-01: also where the rows of many pipelines or stages are put in one order
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_a_walk_over_a_stage_of_many_pipelines_keeps_the_order_of_creation(
    client: Client, make: Factory, clock: FrozenClock, limit: int
) -> None:
    pipelines = [make.pipeline() for _ in range(3)]
    other = make.pipeline(REVIEW)
    ids = []
    for index in range(9):
        ids.append(make.task(pipelines[index * 2 % 3]))
        make.task(other)
        clock.advance(ms=index % 2)
    seen: list[str] = []

    cursor = ""
    while True:
        page = client.get(f"/tasks?stage=todo&limit={limit}{cursor}", status=200).json
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == ids


def test_a_walk_over_the_stages_of_a_pipeline_keeps_the_order_of_creation(
    client: Client, make: Factory
) -> None:
    pipeline_id = make.pipeline(REVIEW)
    ids = [make.task(pipeline_id) for _ in range(6)]
    for _ in range(3):
        make.transition(make.claim(), "submit")
    make.transition(make.claim("reviewer"), "approve")
    seen: list[str] = []

    cursor = ""
    while True:
        url = f"/tasks?pipeline_id={pipeline_id}&limit=2{cursor}"
        page = client.get(url, status=200).json
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == ids


def test_the_last_full_page_is_the_last(client: Client, make: Factory) -> None:
    pipeline_id = make.pipeline()
    for _ in range(4):
        make.task(pipeline_id)

    cursor = client.get("/tasks?limit=2", status=200).json["next_cursor"]
    last = client.get(f"/tasks?limit=2&cursor={quote(cursor)}", status=200).json

    assert len(last["items"]) == 2
    assert last["next_cursor"] is None


def test_a_page_holds_50_tasks_by_default(client: Client, make: Factory) -> None:
    pipeline_id = make.pipeline()
    item = {"pipeline_id": pipeline_id, "title": "t", "description": "d"}
    client.post_json("/tasks/bulk", {"tasks": [item] * 51}, status=201)

    assert len(client.get("/tasks").json["items"]) == 50
    assert len(client.get("/tasks?limit=1000").json["items"]) == 51


def test_the_dead_letter_can_be_listed(client: Client, make: Factory) -> None:
    pipeline_id, other_id = make.pipeline(), make.pipeline()
    make.task(pipeline_id)
    dead = make.task(pipeline_id, priority=9, retry_policy={"max_attempts": 1})
    make.fail(make.claim())
    cancelled = make.task(other_id)
    client.post(f"/tasks/{cancelled}/cancel")

    def listed(query: str) -> list[str]:
        return [task["id"] for task in client.get(f"/tasks?{query}").json["items"]]

    assert listed("dead_lettered=true") == [dead, cancelled]
    assert listed(f"dead_lettered=true&pipeline_id={other_id}") == [cancelled]
    assert listed("dead_lettered=true&stage=done") == []


@pytest.mark.parametrize("word", ["false", "yes", "True", ""])
def test_a_word_that_is_not_known_is_answered_with_those_that_are(
    client: Client, word: str
) -> None:
    response = client.get(f"/tasks?dead_lettered={word}", status=400)

    assert response.json == field_refused("dead_lettered")
    problem = response.json["error"]["details"][0]["problem"]
    assert problem == "must be 'true', or be left out"
