"""``/pipelines``."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, REVIEW, SIMPLE, Factory, Json, field_refused, refused


def with_changes(**changed: Any) -> Json:
    return {**SIMPLE, **changed}


def test_a_new_pipeline_is_answered_with_its_id(client: Client) -> None:
    response = client.post_json("/pipelines", {"name": "p", "definition": SIMPLE}, status=201)

    assert response.json == {"id": ANY}
    assert len(response.json["id"]) == 36


def test_a_pipeline_is_read_back_as_it_was_sent(client: Client, make: Factory) -> None:
    definition = with_changes(
        colour="blue", states={**SIMPLE["states"], "todo": {"agent_role": "coder", "x": [1.0]}}
    )
    pipeline_id = make.pipeline(definition, name="p")

    response = client.get(f"/pipelines/{pipeline_id}", status=200)

    assert response.json == {
        "id": pipeline_id,
        "name": "p",
        "definition": definition,
        "created_at_ms": EPOCH_MS,
    }


def test_an_unknown_pipeline_is_not_found(client: Client) -> None:
    assert client.get("/pipelines/nope", status=404).json == refused("not_found")


def test_pipelines_are_a_bare_array_newest_first(
    client: Client, make: Factory, clock: FrozenClock
) -> None:
    oldest = make.pipeline()
    clock.advance(ms=1)
    same_ms = [make.pipeline() for _ in range(3)]

    response = client.get("/pipelines", status=200)

    # D-59: within one millisecond the order is that of creation, here backwards
    assert [row["id"] for row in response.json] == [*reversed(same_ms), oldest]


# D-60: arrays stay arrays; cut ones say in a header where to go on
def test_a_cut_list_of_pipelines_is_walked_by_the_header(client: Client, make: Factory) -> None:
    ids = [make.pipeline() for _ in range(5)]
    seen: list[str] = []

    url = "/pipelines?limit=2"
    while url:
        response = client.get(url, status=200)
        seen += [row["id"] for row in response.json]
        cursor = response.headers.get("X-Next-Cursor")
        url = f"/pipelines?limit=2&cursor={cursor}" if cursor else ""

    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["abc", "1:", ":1"])
def test_a_cursor_that_pipelines_did_not_give_is_refused(client: Client, cursor: str) -> None:
    response = client.get(f"/pipelines?cursor={cursor}", status=400)

    assert response.json == refused("invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_list_of_pipelines_is_cut_at_1_to_1000(client: Client, limit: str) -> None:
    assert client.get(f"/pipelines?limit={limit}", status=400).json == refused("invalid_limit")


def test_a_name_is_taken_once_and_the_refusal_names_who_has_it(
    client: Client, make: Factory
) -> None:
    pipeline_id = make.pipeline(name="p")

    response = client.post_json("/pipelines", {"name": "p", "definition": REVIEW}, status=409)

    assert response.json == refused("duplicate_name", {"id": pipeline_id})
    client.post_json("/pipelines", {"name": "P", "definition": REVIEW}, status=201)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"definition": SIMPLE}, "name"),
        ({"name": None, "definition": SIMPLE}, "name"),
        ({"name": 5, "definition": SIMPLE}, "name"),
        ({"name": "", "definition": SIMPLE}, "name"),
        ({"name": "n" * 513, "definition": SIMPLE}, "name"),
        ({"name": "p"}, "definition"),
    ],
)
# D-20, D-22: a wrong document names its field, and empty names are refused
def test_a_pipeline_document_of_a_wrong_shape_names_the_field(
    client: Client, body: Json, field: str
) -> None:
    assert client.post_json("/pipelines", body, status=400).json == field_refused(field)


def test_a_name_is_measured_in_bytes(client: Client) -> None:
    client.post_json("/pipelines", {"name": "é" * 256, "definition": SIMPLE}, status=201)
    response = client.post_json(
        "/pipelines", {"name": "é" * 256 + "e", "definition": SIMPLE}, status=400
    )

    assert response.json == field_refused("name")


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (None, "definition"),
        ('{"initial":"todo"}', "definition"),
        ({}, "initial"),
        (with_changes(initial=""), "initial"),
        (with_changes(initial="nope"), "initial"),
        (with_changes(states={}), "states"),
        (with_changes(transitions=[]), "transitions"),
        (
            with_changes(transitions=[{"from": "todo", "to": "x", "trigger": "t"}]),
            "transitions[0].to",
        ),
        (with_changes(states={"todo": {}, "done": {}}), "states"),
        (with_changes(states={**SIMPLE["states"], "stuck": {}}), "states.stuck"),
        (with_changes(gates="maybe"), "gates"),
        # D-22: empty and ambiguous names
        (with_changes(states={**SIMPLE["states"], "": {"terminal": True}}), "states."),
        (
            with_changes(transitions=[{"from": "todo", "to": "done", "trigger": ""}]),
            "transitions[0].trigger",
        ),
        (with_changes(transitions=SIMPLE["transitions"] * 2), "transitions[1].trigger"),
    ],
)
# D-21: the reason and its place are in the answer
def test_a_definition_that_breaks_a_rule_is_refused_with_the_place(
    client: Client, definition: Any, field: str
) -> None:
    response = client.post_json(
        "/pipelines", {"name": "p", "definition": definition}, status=400
    )

    assert response.json["error"]["code"] == "validation_failed"
    assert response.json["error"]["details"][0] == {"field": field, "problem": ANY}
    assert client.get("/pipelines").json == []


# D-22: what is allowed but seldom meant is warned of
def test_odd_definitions_are_taken_with_a_warning(client: Client) -> None:
    definition = with_changes(
        states={
            "todo": {"agent_role": "coder"},
            "done": {"terminal": True, "agent_role": "auditor"},
            "lost": {"terminal": True},
        }
    )

    response = client.post_json(
        "/pipelines", {"name": "p", "definition": definition}, status=201
    )

    assert response.json == {"id": ANY, "warnings": [ANY, ANY]}


def test_keys_without_a_meaning_are_kept_with_a_warning(client: Client) -> None:
    definition = with_changes(
        states={"todo": {"agent_rol": "coder"}, "done": {"terminal": True}}, owner="me"
    )

    response = client.post_json(
        "/pipelines", {"name": "p", "definition": definition}, status=201
    )

    pipeline_id = response.json["id"]
    assert response.json["warnings"] == [
        "owner: unknown key, kept without a meaning",
        "states.todo.agent_rol: unknown key, kept without a meaning; is 'agent_role' meant?",
    ]
    assert client.get(f"/pipelines/{pipeline_id}").json["definition"] == definition
