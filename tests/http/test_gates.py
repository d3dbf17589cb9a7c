"""``/runs/{id}/gates``; how gates decide on a transition is in test_runs.py."""

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
    return f"/runs/{claim['run']['id']}/gates"


def test_results_are_read_back_in_order(client: Client, make: Factory, claim: Json) -> None:
    given: list[Json] = [
        {"gate": "tests", "status": "fail", "evidence": [1, {"x": None}], "actor": "ci"},
        {"gate": "tests", "status": "pass"},
        {"gate": "", "status": "pass", "evidence": None, "actor": None},
    ]

    ids = [make.on_run(claim, "gates", each, status=201).json["id"] for each in given]

    assert client.get(path(claim), status=200).json == [
        {
            "id": result_id,
            "run_id": claim["run"]["id"],
            "task_id": claim["task"]["id"],
            "gate": each["gate"],
            "status": each["status"],
            "evidence": each.get("evidence") or {},
            "actor": each.get("actor"),
            "ts_ms": EPOCH_MS,
        }
        for result_id, each in zip(ids, given, strict=True)
    ]


# D-23: evidence may be any JSON, by design
@pytest.mark.parametrize("evidence", [0, False, "", [], "text"])
def test_evidence_is_any_json(
    client: Client, make: Factory, claim: Json, evidence: Any
) -> None:
    body = {"gate": "g", "status": "pass", "evidence": evidence}
    make.on_run(claim, "gates", body, status=201)

    assert client.get(path(claim)).json[0]["evidence"] == evidence


@pytest.mark.parametrize("status", ["PASS", "", "passed", " pass"])
def test_a_status_is_pass_or_fail_exactly(make: Factory, claim: Json, status: str) -> None:
    response = make.on_run(claim, "gates", {"gate": "g", "status": status}, status=400)

    assert response.json == refused("invalid_status")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "pass"}, "gate"),
        ({"gate": None, "status": "pass"}, "gate"),
        ({"gate": "g"}, "status"),
        ({"gate": "g", "status": True}, "status"),
        ({"gate": "g" * 513, "status": "pass"}, "gate"),
        ({"gate": "g", "status": "pass", "actor": 5}, "actor"),
        ({"gate": "g", "status": "pass", "actor": "a" * 513}, "actor"),
    ],
)
def test_a_result_of_a_wrong_shape_names_the_field(
    make: Factory, claim: Json, body: Json, field: str
) -> None:
    assert make.on_run(claim, "gates", body, status=400).json == field_refused(field)


def test_the_lease_is_looked_at_before_the_body(
    client: Client, clock: FrozenClock, claim: Json
) -> None:
    def post(target: str, token: str, status: int) -> Json:
        answer: Json = client.post(target, b"{bad", headers=bearer(token), status=status).json
        return answer

    assert client.post(path(claim), status=401).json == refused("unauthorized")
    assert post("/runs/nope/gates", "0" * 64, 404) == refused("not_found")
    assert post(path(claim), "0" * 64, 401) == refused("unauthorized")
    assert post(path(claim), claim["lease_token"], 400) == refused("invalid_json")
    clock.advance(ms=300_000)
    assert post(path(claim), claim["lease_token"], 410) == refused("expired")


def test_after_its_run_a_gate_takes_no_result_but_shows_them(
    client: Client, make: Factory, claim: Json
) -> None:
    make.on_run(claim, "gates", {"gate": "g", "status": "pass"}, status=201)
    make.transition(claim)

    response = make.on_run(claim, "gates", {"gate": "g", "status": "pass"}, status=404)

    assert response.json == refused("not_found")
    assert len(client.get(path(claim), status=200).json) == 1


# D-13: an unknown parent is not an empty list
def test_the_gates_of_an_unknown_run_are_not_found(client: Client) -> None:
    assert client.get("/runs/nope/gates", status=404).json == refused("not_found")


# D-60: the array may be cut
def test_results_can_be_cut(client: Client, make: Factory, claim: Json) -> None:
    ids = [
        make.on_run(claim, "gates", {"gate": "g", "status": "pass"}, status=201).json["id"]
        for _ in range(3)
    ]

    first = client.get(f"{path(claim)}?limit=2", status=200)
    cursor = first.headers["X-Next-Cursor"]
    last = client.get(f"{path(claim)}?limit=2&cursor={cursor}", status=200)

    assert [row["id"] for row in first.json + last.json] == ids
    assert "X-Next-Cursor" not in last.headers


@pytest.mark.parametrize(
    ("query", "code"), [("limit=0", "invalid_limit"), ("cursor=x", "invalid_cursor")]
)
def test_a_cut_that_cannot_be_is_refused(
    client: Client, claim: Json, query: str, code: str
) -> None:
    assert client.get(f"{path(claim)}?{query}", status=400).json == refused(code)
