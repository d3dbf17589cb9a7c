"""``/artifacts``."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json, field_refused, refused

BODY = {"kind": "log", "uri": "file:///x"}


@pytest.fixture
def claim(make: Factory) -> Json:
    make.task()
    return make.claim()


def create(client: Client, **fields: object) -> str:
    body = {**BODY, **fields}
    return str(client.post_json("/artifacts", body, status=201).json["id"])


def test_an_artifact_needs_neither_task_nor_run(client: Client) -> None:
    artifact_id = create(client)

    assert client.get("/artifacts", status=200).json == {
        "items": [
            {
                "id": artifact_id,
                "task_id": None,
                "run_id": None,
                "created_at_ms": EPOCH_MS,
                "kind": "log",
                "uri": "file:///x",
                "sha256": None,
                "size_bytes": None,
                "meta": {},
            }
        ],
        "next_cursor": None,
    }


def test_an_artifact_keeps_everything_it_was_given(client: Client, claim: Json) -> None:
    given = {
        "task_id": claim["task"]["id"],
        "run_id": claim["run"]["id"],
        "kind": "",
        "uri": "",
        "sha256": "not checked",
        "size_bytes": -(2**63),
        "meta": {"a": [1]},
    }

    artifact_id = create(client, **given)

    assert client.get("/artifacts").json["items"] == [
        {"id": artifact_id, "created_at_ms": EPOCH_MS, **given}
    ]


def test_artifacts_are_taken_after_the_run_too(
    client: Client, make: Factory, clock: FrozenClock, claim: Json
) -> None:
    clock.advance(ms=300_000)
    create(client, run_id=claim["run"]["id"])
    make.no_claim(role="nobody")

    create(client, run_id=claim["run"]["id"])


def test_artifacts_are_filtered_by_task_and_run(
    client: Client, make: Factory, claim: Json
) -> None:
    task_id, run_id = claim["task"]["id"], claim["run"]["id"]
    of_task, of_run = create(client, task_id=task_id), create(client, run_id=run_id)
    of_both = create(client, task_id=task_id, run_id=run_id)

    def ids(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"/artifacts?{query}").json["items"]]

    assert ids(f"task_id={task_id}") == [of_task, of_both]
    assert ids(f"run_id={run_id}") == [of_run, of_both]
    assert ids(f"task_id={task_id}&run_id={run_id}") == [of_both]
    assert ids("task_id=nope") == ids("run_id=") == []


# D-12: unknown owners are the client's mistake, not the server's
@pytest.mark.parametrize("unknown", ["nope", ""])
def test_an_unknown_task_or_run_is_not_found(client: Client, unknown: str) -> None:
    task = client.post_json("/artifacts", {**BODY, "task_id": unknown}, status=404)
    run = client.post_json("/artifacts", {**BODY, "run_id": unknown}, status=404)

    assert task.json == refused("task_not_found")
    assert run.json == refused("run_not_found")
    assert client.get("/artifacts").json["items"] == []


# D-12: a run of another task does not fit
def test_a_run_of_another_task_is_refused(client: Client, make: Factory, claim: Json) -> None:
    body = {**BODY, "task_id": make.task(), "run_id": claim["run"]["id"]}

    response = client.post_json("/artifacts", body, status=409)

    assert response.json == refused("run_task_mismatch")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"kind": None}, "kind"),
        ({"kind": "k" * 513}, "kind"),
        ({"uri": None}, "uri"),
        ({"uri": 5}, "uri"),
        ({"task_id": 5}, "task_id"),
        ({"size_bytes": 2**63}, "size_bytes"),
        ({"size_bytes": "5"}, "size_bytes"),
        ({"sha256": []}, "sha256"),
        # D-23: meta is an object
        ({"meta": []}, "meta"),
        ({"meta": "x"}, "meta"),
    ],
)
def test_an_artifact_of_a_wrong_shape_names_the_field(
    client: Client, changed: Json, field: str
) -> None:
    response = client.post_json("/artifacts", {**BODY, **changed}, status=400)

    assert response.json == field_refused(field)


@pytest.mark.parametrize("field", ["kind", "uri"])
def test_a_missing_field_is_named(client: Client, field: str) -> None:
    body = {name: value for name, value in BODY.items() if name != field}

    response = client.post_json("/artifacts", body, status=400)

    assert response.json == field_refused(field, "is required")


# D-01: a walk sees every artifact once
@pytest.mark.parametrize(
    "query", ["", "&task_id={t}", "&run_id={r}", "&task_id={t}&run_id={r}"]
)
def test_a_walk_sees_every_artifact_once(
    client: Client, clock: FrozenClock, claim: Json, query: str
) -> None:
    task_id, run_id = claim["task"]["id"], claim["run"]["id"]
    ids = []
    for index in range(12):
        ids.append(create(client, task_id=task_id, run_id=run_id))
        clock.advance(ms=index % 3)
    filters = query.format(t=task_id, r=run_id)
    seen: list[str] = []

    cursor = ""
    while True:
        page = client.get(f"/artifacts?limit=3{filters}{cursor}", status=200).json
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == ids


def test_a_page_holds_100_artifacts_by_default(client: Client) -> None:
    for _ in range(101):
        create(client)

    assert len(client.get("/artifacts").json["items"]) == 100


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
    ],
)
def test_a_page_that_cannot_be_is_refused(client: Client, query: str, code: str) -> None:
    assert client.get(f"/artifacts?{query}", status=400).json == refused(code)
