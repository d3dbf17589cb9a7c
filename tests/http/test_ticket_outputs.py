"""Outputs and their schemas; comments, channels, collaborators, labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Client
from tests.factories import Json, refused
from tests.tickets import TicketPlace
from tickets.app import Application

W = {"X-Workspace-Id": "w"}
SHA = {"type": "object", "required": ["sha"], "properties": {"sha": {"type": "string"}}}


@pytest.fixture
def place(app: Application) -> TicketPlace:
    return TicketPlace(app.lifecycle, workspace_id="w")


# T-33
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "other.json#/a"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://a.org/b", "$defs": {"b": {"$id": "https://a.org/b"}}},
        {"properties": {"a": {"$dynamicRef": "http://example.org"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"pattern": "("},
        {"patternProperties": {"[": {}}},
        {"description": "x" * 65_536},
        7,
        [],
        "not JSON",
        '{"const": NaN}',
        '{"const": 1e999}',
        '{"const": 1, "const": 2}',
        '{"const": "\\u0000"}',
        '{"const": "\\ud800"}',
        '{"not": ' * 200 + "{}" + "}" * 200,
    ],
    ids=repr,
)
def test_a_schema_stands_alone_and_is_one(
    schema: Any, client: Client, place: TicketPlace
) -> None:
    body = {"title": "t", "expected_output_schema": schema}

    answer = client.post_json("/tickets", body, headers=W, status=400)

    assert answer.json == refused("invalid_schema")


@pytest.mark.parametrize(
    "schema",
    [True, False, {}, SHA, {"const": {"$ref": "x"}}, {"$ref": "#/$defs/a", "$defs": {"a": {}}}],
)
def test_a_schema_is_shown_as_json_however_it_came(
    schema: Any, client: Client, place: TicketPlace
) -> None:
    for given in (schema, json.dumps(schema)):
        body = {"title": "t", "expected_output_schema": given}
        made = client.post_json("/tickets", body, headers=W, status=201).json
        assert made["expected_output_schema"] == schema


def test_an_output_that_does_not_fit_is_refused_and_changes_nothing(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.start(place.ticket(expected_output_schema=SHA))
    path = f"/tickets/{ticket.id}/transition"

    bodies: tuple[Json, ...] = (
        {},
        {"output_json": {}},
        {"output_json": None},
        {"output_json": {"sha": 1}},
    )
    told = []
    for body in bodies:
        answer = client.post_json(path, {"to": "done", **body}, headers=W, status=422)
        assert answer.json["error"]["code"] == "output_invalid"
        told.append(answer.json["error"]["message"])
    # The code says already what it is about.
    assert told[-1].startswith("/sha: ")
    now = place.now(ticket)
    assert (now.status, now.version) == ("in_progress", ticket.version)
    fits = {"to": "done", "output_json": {"sha": "c0ffee"}}
    assert client.post_json(path, fits, headers=W, status=200).json["output_json"] == {
        "sha": "c0ffee"
    }


def test_a_schema_that_never_ends_refuses_every_output(
    client: Client, place: TicketPlace
) -> None:
    endless = {"$ref": "#"}
    ticket = place.start(place.ticket(expected_output_schema=endless))

    answer = client.post_json(
        f"/tickets/{ticket.id}/transition",
        {"to": "done", "output_json": 1},
        headers=W,
        status=422,
    )

    assert answer.json["error"]["code"] == "output_invalid"


@pytest.mark.parametrize(
    ("schema", "output"),
    [
        ({"multipleOf": 0.5}, 10**400),
        ({"multipleOf": 10**400}, 1.5),
        ({"properties": {"a": {"$id": "http://[b", "$ref": "#"}}}, {"a": 1}),
    ],
    ids=["number", "multiple", "address"],
)
def test_a_schema_that_cannot_be_followed_refuses_every_output(
    client: Client, place: TicketPlace, schema: Json, output: Any
) -> None:
    ticket = place.start(place.ticket(expected_output_schema=schema))

    answer = client.post_json(
        f"/tickets/{ticket.id}/transition",
        {"to": "done", "output_json": output},
        headers=W,
        status=422,
    )

    assert "cannot be followed" in answer.json["error"]["message"]


def test_an_output_has_a_size(client: Client, place: TicketPlace) -> None:
    ticket = place.start(place.ticket())

    for size, status in ((1 << 20, 413), ((1 << 20) - 2, 200)):
        body = {"to": "done", "output_json": "x" * size}
        client.post_json(f"/tickets/{ticket.id}/transition", body, headers=W, status=status)


def test_the_first_comment_makes_the_channel_and_one_version(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.ticket(assigned_agent_id="w-a")
    path = f"/tickets/{ticket.id}"
    missing = client.get(f"{path}/channel", headers=W, status=404)
    client.post_json(f"{path}/collaborators", {"collaborator_id": "w-b"}, headers=W, status=201)

    first = client.post_json(f"{path}/comments", {"body": "a"}, headers=W, status=201).json
    answer = {"body": "b", "kind": "plan", "parent_comment_id": first["id"]}
    agent = {**W, "X-Actor": "agent:w-a"}
    second = client.post_json(f"{path}/comments", answer, headers=agent, status=201).json

    assert missing.json == refused("channel_not_found")
    shown = client.get(path, headers=W).json
    assert shown["version"] == 3
    assert shown["channel_id"] == first["channel_id"] == second["channel_id"]
    assert (second["author"], second["parent_comment_id"]) == ("agent:w-a", first["id"])
    assert client.get(f"{path}/comments", headers=W).json["items"] == [first, second]
    channel = client.get(f"{path}/channel", headers=W, status=200).json
    assert [(p["participant_id"], p["role"]) for p in channel["participants"]] == [
        ("w-a", "owner"),
        ("user", "member"),
        ("w-b", "member"),
    ]


def test_a_comment_answers_one_on_the_same_ticket(client: Client, place: TicketPlace) -> None:
    one, two = place.ticket(), place.ticket()
    first = client.post_json(f"/tickets/{one.id}/comments", {"body": "a"}, headers=W).json

    answer = client.post_json(
        f"/tickets/{two.id}/comments",
        {"body": "b", "parent_comment_id": first["id"]},
        headers=W,
        status=404,
    )

    assert answer.json == refused("comment_not_found")
    assert place.now(two).version == 1


def test_the_service_says_what_became_of_a_ticket(client: Client, place: TicketPlace) -> None:
    ticket = place.start(place.ticket())

    place.move(ticket, "blocked", reason="no key")
    place.move(ticket, "in_progress")
    place.move(ticket, "failed", error_message="boom")

    found = client.get(f"/tickets/{ticket.id}/comments", headers=W).json["items"]
    assert [(each["author"], each["kind"], each["body"]) for each in found] == [
        ("system", "system", "Blocked: no key"),
        ("system", "system", "Failed: boom"),
    ]


def test_a_collaborator_is_added_once(client: Client, place: TicketPlace) -> None:
    path = f"/tickets/{place.ticket().id}"
    body = {"collaborator_id": "w-b", "role": "owner"}

    first = client.post_json(f"{path}/collaborators", body, headers=W, status=201).json
    again = client.post_json(f"{path}/collaborators", body, headers=W, status=200).json

    assert again == first
    events = client.get(f"{path}/events", headers=W).json["items"]
    assert [each["type"] for each in events] == ["TicketCreated", "TicketCollaboratorAdded"]
    for id_, status in (("user", 201), ("user:ada", 201), ("user:", 404), ("nobody", 404)):
        client.post_json(
            f"{path}/collaborators", {"collaborator_id": id_}, headers=W, status=status
        )
    client.delete(f"{path}/collaborators/user:ada", headers=W, status=204)
    gone = client.delete(f"{path}/collaborators/user:ada", headers=W, status=404)
    assert gone.json == refused("collaborator_not_found")


def test_labels_are_kept_in_their_first_spelling(client: Client, place: TicketPlace) -> None:
    path = f"/tickets/{place.ticket(labels=['Bug']).id}"

    more = client.post_json(f"{path}/labels", {"labels": ["bug", " UI "]}, headers=W).json
    less = client.delete(f"{path}/labels/BUG", headers=W, status=200).json
    gone = client.delete(f"{path}/labels/BUG", headers=W, status=404)
    many = {"labels": [str(number) for number in range(50)]}
    full = client.post_json(f"{path}/labels", many, headers=W, status=400)

    assert (more["labels"], less["labels"]) == (["Bug", "UI"], ["UI"])
    assert (more["version"], less["version"]) == (2, 3)
    assert gone.json == refused("label_not_found")
    assert full.json["error"]["code"] == "invalid_request"
