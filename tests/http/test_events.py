"""``/runs/{id}/events``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json, bearer, field_refused, refused


@pytest.fixture
def claim(make: Factory) -> Json:
    make.task()
    return make.claim()


def path(claim: Json) -> str:
    return f"/runs/{claim['run']['id']}/events"


def event(claim: Json, event_id: int, **changed: Any) -> Json:
    return {
        "id": event_id,
        "run_id": claim["run"]["id"],
        "ts_ms": EPOCH_MS,
        "kind": "step",
        "data": {},
        **changed,
    }


def test_an_event_is_read_back_as_it_was_sent(
    client: Client, make: Factory, claim: Json
) -> None:
    data = {"turn": 1, "deep": [{"a": None}], "f": 1.5}

    response = make.on_run(claim, "events", {"kind": "step", "data": data}, status=201)

    assert list(response.json) == ["id"]
    assert client.get(path(claim), status=200).json == {
        "items": [event(claim, response.json["id"], data=data)],
        "next_cursor": None,
    }


# D-23: data may be any JSON, by design
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {}),
        ({"data": None}, {}),
        ({"data": 5}, 5),
        ({"data": [1]}, [1]),
        ({"data": "x"}, "x"),
        ({"data": False}, False),
    ],
)
def test_data_is_any_json_and_null_is_absent(
    client: Client, make: Factory, claim: Json, given: Json, kept: Any
) -> None:
    make.on_run(claim, "events", {"kind": "step", **given}, status=201)

    assert client.get(path(claim)).json["items"][0]["data"] == kept


def test_an_event_changes_neither_run_nor_task_nor_lease(
    client: Client, make: Factory, clock: FrozenClock, claim: Json
) -> None:
    before = client.get(f"/tasks/{claim['task']['id']}").json
    clock.advance(ms=299_999)

    make.event(claim)

    assert client.get(f"/tasks/{claim['task']['id']}").json == before
    clock.advance(ms=1)
    make.heartbeat(claim, status=410)


def test_many_events_are_added_at_once(client: Client, make: Factory, claim: Json) -> None:
    body = {"events": [{"kind": "a"}, {"kind": "b", "data": [1]}]}

    response = make.on_run(claim, "events", body, status=201)

    first, second = response.json["ids"]
    assert response.json == {"ids": [first, second]}
    assert client.get(path(claim)).json["items"] == [
        event(claim, first, kind="a"),
        event(claim, second, kind="b", data=[1]),
    ]


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([], "invalid_request"),
        ([{"kind": "a"}] * 1_001, "invalid_request"),
        ([{"kind": "a"}, {"data": 1}], "invalid_request"),
        ([{"kind": "a"}, {"kind": "transition"}], "reserved_event_kind"),
    ],
)
def test_many_events_are_added_all_or_none(
    client: Client, make: Factory, claim: Json, events: list[Json], code: str
) -> None:
    response = make.on_run(claim, "events", {"events": events}, status=400)

    assert response.json["error"]["code"] == code
    assert client.get(path(claim)).json["items"] == []


def test_1000_events_are_not_too_many(make: Factory, claim: Json) -> None:
    body = {"events": [{"kind": "a"}] * 1_000}

    response = make.on_run(claim, "events", body, status=201)

    assert len(set(response.json["ids"])) == 1_000


# D-43: only the service writes its own kinds
@pytest.mark.parametrize(
    "kind", ["transition", "retry_scheduled", "dead_letter", "lease_expired", "released"]
)
def test_a_kind_of_the_service_is_reserved(make: Factory, claim: Json, kind: str) -> None:
    response = make.on_run(claim, "events", {"kind": kind}, status=400)

    assert response.json == refused("reserved_event_kind")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": 5}, "kind"),
        ({"kind": "k" * 513}, "kind"),
        ({"kind": "é" * 257}, "kind"),
        ({"events": {}}, "events"),
        ({"events": [{"kind": 5}]}, "events[0].kind"),
    ],
)
def test_an_event_of_a_wrong_shape_names_the_field(
    make: Factory, claim: Json, body: Json, field: str
) -> None:
    assert make.on_run(claim, "events", body, status=400).json == field_refused(field)


def test_an_empty_kind_is_a_kind(make: Factory, claim: Json) -> None:
    make.on_run(claim, "events", {"kind": ""}, status=201)


def test_the_lease_is_looked_at_before_the_body(
    client: Client, clock: FrozenClock, claim: Json
) -> None:
    def post(target: str, token: str, status: int) -> Json:
        answer: Json = client.post(target, b"{bad", headers=bearer(token), status=status).json
        return answer

    assert client.post(path(claim), b"{bad", status=401).json == refused("unauthorized")
    assert post("/runs/nope/events", "0" * 64, 404) == refused("not_found")
    assert post(path(claim), "0" * 64, 401) == refused("unauthorized")
    assert post(path(claim), claim["lease_token"], 400) == refused("invalid_json")
    clock.advance(ms=300_000)
    assert post(path(claim), claim["lease_token"], 410) == refused("expired")


# D-01: a walk sees every event once
@pytest.mark.parametrize(("count", "limit"), [(7, 2), (6, 2), (5, 100)])
def test_a_walk_sees_every_event_once(
    client: Client, make: Factory, claim: Json, count: int, limit: int
) -> None:
    ids = [make.event(claim) for _ in range(count)]
    seen: list[int] = []

    cursor = ""
    while True:
        page = client.get(f"{path(claim)}?limit={limit}{cursor}", status=200).json
        seen += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == ids


def test_events_stay_readable_after_the_run(client: Client, make: Factory, claim: Json) -> None:
    make.event(claim)
    make.transition(claim)

    kinds = [row["kind"] for row in client.get(path(claim), status=200).json["items"]]

    assert kinds == ["step", "transition"]


# D-13: an unknown parent is not an empty list
def test_the_events_of_an_unknown_run_are_not_found(client: Client) -> None:
    assert client.get("/runs/nope/events", status=404).json == refused("not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
        ("cursor=", "invalid_cursor"),
        ("cursor=1:x", "invalid_cursor"),
    ],
)
def test_a_page_that_cannot_be_is_refused(
    client: Client, claim: Json, query: str, code: str
) -> None:
    assert client.get(f"{path(claim)}?{query}", status=400).json == refused(code)


def test_a_negative_cursor_is_before_everything(
    client: Client, make: Factory, claim: Json
) -> None:
    make.event(claim)

    assert len(client.get(f"{path(claim)}?cursor=-5", status=200).json["items"]) == 1
