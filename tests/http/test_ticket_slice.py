"""Tickets from their creation to their end, over HTTP."""

from __future__ import annotations

import pytest

from tests.conftest import Client
from tests.factories import EPOCH_MS, Json, field_refused, refused

W = {"X-Workspace-Id": "w"}


@pytest.fixture
def desk(client: Client) -> Client:
    """Return a client of a service that has a workspace."""
    client.post_json("/workspaces", {"id": "w", "name": "W"}, status=201)
    return client


def events(desk: Client, ticket_id: str) -> list[Json]:
    items: list[Json] = desk.get(
        f"/tickets/{ticket_id}/events?limit=1000", headers=W, status=200
    ).json["items"]
    return items


# T-01
def test_a_new_ticket_has_its_defaults_and_one_event(desk: Client) -> None:
    response = desk.post_json("/tickets", {"title": " Mend it "}, headers=W, status=201)

    ticket = response.json
    assert ticket == {
        "id": ticket["id"],
        "workspace_id": "w",
        "title": "Mend it",
        "description": None,
        "status": "open",
        "priority": "medium",
        "provider": "local",
        "external_key": None,
        "url": None,
        "assigned_agent_id": None,
        "assigned_team_id": None,
        "delegated_by_agent_id": None,
        "channel_id": None,
        "mode": "chat",
        "pipeline_run_id": None,
        "project_id": None,
        "parent_ticket_id": None,
        "expected_output_schema": None,
        "output_json": None,
        "error_message": None,
        "execution_locked_at": None,
        "version": 1,
        "labels": [],
        "status_reason": None,
        "blocked_kind": None,
        "is_blocked": False,
        "blocked_by": [],
        "dispatch": {
            "state": "none",
            "wait_reason": None,
            "generation": 0,
            "pipeline_id": None,
            "task_id": None,
            "stage": None,
            "run_id": None,
            "attempt": None,
            "agent_id": None,
            "lease_expires_at_ms": None,
            "last_error": None,
            "retry_policy": None,
            "on_invalid_output": None,
            "on_dead_letter": None,
        },
        "sync": None,
        "created_by": "user",
        "created_at_ms": EPOCH_MS,
        "updated_at_ms": EPOCH_MS,
        "started_at_ms": None,
        "finished_at_ms": None,
        "status_changed_at_ms": None,
    }
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == f"/tickets/{ticket['id']}"
    assert [event["type"] for event in events(desk, ticket["id"])] == ["TicketCreated"]


# T-24
def test_a_patch_of_another_version_is_refused_with_the_present_one(desk: Client) -> None:
    path = f"/tickets/{desk.post_json('/tickets', {'title': 'a'}, headers=W).json['id']}"
    desk.patch_json(path, {"title": "b"}, headers=W, status=200)
    desk.patch_json(path, {"title": "c"}, headers=W, status=200)

    stale = desk.patch_json(path, {"title": "d"}, headers={**W, "If-Match": '"2"'}, status=412)
    behind = desk.patch_json(path, {"title": "d", "expected_version": 2}, headers=W, status=409)
    both = {"title": "d", "expected_version": 3}
    unclear = desk.patch_json(path, both, headers={**W, "If-Match": '"2"'}, status=400)
    elsewhere = desk.patch_json(
        path, {"title": "d", "expected_status": "done"}, headers=W, status=409
    )

    assert (stale.json, stale.headers["ETag"]) == (refused("precondition_failed"), '"3"')
    assert (behind.json, behind.headers["ETag"]) == (refused("version_conflict"), '"3"')
    assert (elsewhere.json, elsewhere.headers["ETag"]) == (refused("status_mismatch"), '"3"')
    assert unclear.json == field_refused("expected_version")
    done = desk.patch_json(path, {"title": "d"}, headers=W, status=200)
    assert (done.json["version"], done.headers["ETag"]) == (4, '"4"')


def test_a_change_to_what_is_there_already_changes_and_tells_nothing(desk: Client) -> None:
    ticket = desk.post_json("/tickets", {"title": "a", "labels": ["x"]}, headers=W).json

    body = {"title": "a ", "labels": ["x", "X"], "priority": "medium", "description": None}
    again = desk.patch_json(f"/tickets/{ticket['id']}", body, headers=W, status=200)

    assert again.json == ticket
    assert len(events(desk, ticket["id"])) == 1


# T-45
def test_what_no_ticket_has_is_refused_by_name(desk: Client) -> None:
    ticket_id = desk.post_json("/tickets", {"title": "a"}, headers=W).json["id"]

    for body in ({"titel": "a"}, {"status": "done"}, {"dispatch": {"piepline_id": "x"}}):
        answer = desk.patch_json(f"/tickets/{ticket_id}", body, headers=W, status=400)
        name = "dispatch.piepline_id" if "dispatch" in body else next(iter(body))
        assert answer.json == field_refused(name)
    assert desk.delete(f"/tickets/{ticket_id}", headers=W, status=405).json == refused(
        "method_not_allowed"
    )
    key = {**W, "Idempotency-Key": "k"}
    first = desk.post_json("/tickets", {"title": "once"}, headers=key, status=201)
    second = desk.post_json("/tickets", {"title": "once"}, headers=key, status=201)
    assert second.body == first.body


@pytest.mark.parametrize(
    ("field", "act"),
    [
        ("status", "transition"),
        ("assigned_agent_id", "assign"),
        ("assigned_team_id", "assign"),
        ("delegated_by_agent_id", "delegate"),
    ],
)
def test_what_another_request_changes_is_refused_with_its_path(
    desk: Client, field: str, act: str
) -> None:
    ticket_id = desk.post_json("/tickets", {"title": "a"}, headers=W).json["id"]

    answer = desk.patch_json(f"/tickets/{ticket_id}", {field: "x"}, headers=W, status=400)

    problem = f"is not a field of this; POST /tickets/{{ticket_id}}/{act} changes it"
    assert answer.json == field_refused(field, problem)


@pytest.mark.parametrize(
    ("query", "headers", "body", "code", "status"),
    [
        ("", {}, {}, "workspace_required", 400),
        ("", W, {"workspace_id": "v"}, "workspace_mismatch", 400),
        ("?workspace_id=v", W, {}, "workspace_mismatch", 400),
        ("?workspace_id=nowhere", {}, {}, "workspace_not_found", 404),
        ("", {}, {"workspace_id": "nowhere"}, "workspace_not_found", 404),
        ("", {**W, "X-Actor": "agent:nobody"}, {}, "agent_not_found", 404),
        ("", {**W, "X-Actor": "system"}, {}, "invalid_request", 400),
        ("", {**W, "X-Actor": "linear:7"}, {}, "invalid_request", 400),
        ("", {**W, "X-Actor": "user:"}, {}, "invalid_request", 400),
    ],
)
def test_a_request_names_one_workspace_and_an_actor_who_is_there(
    query: str, headers: Json, body: Json, code: str, status: int, desk: Client
) -> None:
    answer = desk.post_json(
        f"/tickets{query}", {"title": "a", **body}, headers=headers, status=status
    )

    assert answer.json["error"]["code"] == code


def test_work_outside_goes_through_every_status_with_its_events(desk: Client) -> None:
    ticket_id = desk.post_json("/tickets", {"title": "a"}, headers=W).json["id"]
    path = f"/tickets/{ticket_id}/transition"
    way: list[Json] = [
        {"to": "in_progress", "external": True},
        {"to": "blocked", "reason": "no key"},
        {"to": "in_progress"},
        {"to": "done", "output_json": {"a": [1, None]}},
    ]

    shown = [desk.post_json(path, step, headers=W, status=200).json for step in way]

    assert [each["version"] for each in shown] == [2, 3, 4, 5]
    assert [each["execution_locked_at"] for each in shown] == [EPOCH_MS, None, EPOCH_MS, None]
    assert [each["blocked_kind"] for each in shown] == [None, "input", None, None]
    assert [each["status_reason"] for each in shown] == [None, "no key", None, None]
    assert [each["dispatch"]["state"] for each in shown] == ["external"] * 3 + ["ended"]
    assert shown[-1]["output_json"] == {"a": [1, None]}
    assert [
        (each["type"], each["version"], each["data"].get("trigger"))
        for each in events(desk, ticket_id)
    ] == [
        ("TicketCreated", 1, None),
        ("TicketStarted", 2, None),
        ("TicketStatusChanged", 2, "external_start"),
        ("TicketStatusChanged", 3, "user"),
        ("TicketStatusChanged", 4, "user"),
        ("TicketCompleted", 5, None),
        ("TicketStatusChanged", 5, "user"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "blocked"}, "reason"),
        ({"to": "failed"}, "error_message"),
        ({"to": "done", "reason": "r"}, "reason"),
        ({"to": "cancelled", "output_json": 1}, "output_json"),
        ({"to": "in_progress", "error_message": "e"}, "error_message"),
    ],
)
def test_a_transition_has_the_fields_of_its_target(
    body: Json, field: str, desk: Client
) -> None:
    ticket_id = desk.post_json("/tickets", {"title": "a"}, headers=W).json["id"]

    answer = desk.post_json(f"/tickets/{ticket_id}/transition", body, headers=W, status=400)

    assert answer.json == field_refused(field)
