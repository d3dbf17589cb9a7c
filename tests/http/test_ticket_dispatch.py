"""Tickets over HTTP with the agents that work on them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Client
from tests.factories import Factory, Json, bearer, refused
from tickets.app import Application

W = {"X-Workspace-Id": "w"}


def furnished(client: Client) -> Client:
    """Return a client of a service with a workspace and its agent."""
    client.post_json("/workspaces", {"id": "w", "name": "W"}, status=201)
    client.put_json("/workspaces/w/agents/a1", {"role": "coder"}, status=201)
    return client


@pytest.fixture
def desk(client: Client) -> Client:
    return furnished(client)


def ticket(desk: Client, **fields: object) -> Json:
    """Create a ticket for the agent."""
    body = {"title": "t", "assigned_agent_id": "a1", **fields}
    made: Json = desk.post_json("/tickets", body, headers=W, status=201).json
    return made


# T-03
def test_the_answer_shows_that_the_ticket_started(desk: Client) -> None:
    response = desk.post_json(
        "/tickets", {"title": "t", "assigned_agent_id": "a1"}, headers=W, status=201
    )

    made = response.json
    assert (made["status"], made["dispatch"]["state"]) == ("in_progress", "queued")
    assert response.headers["ETag"] == '"2"'
    task = desk.get(f"/tasks/{made['dispatch']['task_id']}", status=200).json
    assert task["metadata"]["ticket_id"] == made["id"]
    assert task["assignments"][0]["assigned_by"] == "ticket-dispatcher"


def test_a_repeated_assignment_is_answered_with_the_start_again(desk: Client) -> None:
    made = desk.post_json("/tickets", {"title": "t"}, headers=W, status=201).json
    path, key = f"/tickets/{made['id']}/assign", {**W, "Idempotency-Key": "k"}

    first = desk.post_json(path, {"agent_id": "a1"}, headers=key, status=200)
    again = desk.post_json(path, {"agent_id": "a1"}, headers=key, status=200)

    assert first.json["status"] == "in_progress"
    assert again.body == first.body
    rows = desk.get(f"/tickets/{made['id']}/dispatches", headers=W, status=200).json["items"]
    assert [row["generation"] for row in rows] == [1]


# T-08
def test_an_output_that_is_refused_leaves_the_lease_to_the_agent(
    desk: Client, make: Factory
) -> None:
    made = ticket(
        desk,
        expected_output_schema={"type": "object", "required": ["sha"]},
        dispatch={"on_invalid_output": "reject"},
    )
    claim = make.claim()

    answer = make.on_run(claim, "transition", {"trigger": "complete", "output": {}}, status=409)

    assert answer.json["error"]["code"] == "output_invalid"
    make.transition(claim, output={"sha": "x"})
    done = desk.get(f"/tickets/{made['id']}", headers=W).json
    assert (done["status"], done["output_json"]) == ("done", {"sha": "x"})


# T-46
def test_a_client_cannot_change_who_has_the_task(desk: Client, make: Factory) -> None:
    task_id = ticket(desk)["dispatch"]["task_id"]
    other = make.task()

    for path, body in (
        ("assignments", {"agent_id": "a2"}),
        ("dependencies", {"depends_on_task_id": other}),
        ("cancel", {}),
        ("requeue", {}),
    ):
        answer = desk.post_json(f"/tasks/{task_id}/{path}", body, status=409)
        assert answer.json == refused("managed_by_ticket")
    answer = desk.delete(f"/tasks/{task_id}/assignments/a1", status=409)
    assert answer.json == refused("managed_by_ticket")


def test_an_agent_reports_with_its_lease_token(desk: Client, make: Factory) -> None:
    made = ticket(desk)
    claim = make.claim()
    path, body = f"/tickets/{made['id']}/transition", {"to": "done"}

    as_agent = {**W, "X-Actor": "agent:a1"}
    without = desk.post_json(path, body, headers=as_agent, status=401)
    wrong = desk.post_json(path, body, headers={**W, "X-Lease-Token": "0" * 64}, status=401)
    token = {**W, "X-Lease-Token": claim["lease_token"]}
    done = desk.post_json(path, body, headers=token, status=200).json

    assert without.json == refused("lease_required")
    assert wrong.json == refused("unauthorized")
    assert done["status"] == "done"
    desk.post_json(
        f"/leases/{claim['lease_id']}/heartbeat",
        {},
        headers=bearer(claim["lease_token"]),
        status=410,
    )


def test_a_failure_to_start_says_what_is_in_the_way(desk: Client) -> None:
    desk.put_json("/workspaces/w/agents/a1", {"role": "coder", "enabled": False}, status=200)
    path = f"/tickets/{ticket(desk)['id']}"

    answer = desk.post_json(
        f"{path}/transition", {"to": "in_progress"}, headers=W, status=409
    ).json
    waiting = desk.post_json(f"{path}/dispatch", headers=W, status=200).json

    assert answer == refused("not_ready")
    assert "agent_unavailable" in answer["error"]["message"]
    assert waiting["dispatch"]["wait_reason"] == "agent_unavailable"


def test_tickets_can_start_with_the_next_sweep_only(serve: Callable[..., Client]) -> None:
    desk = furnished(serve(dispatch_inline="off"))

    made = ticket(desk)
    assert (made["status"], made["dispatch"]["state"]) == ("open", "waiting")
    assert made["dispatch"]["wait_reason"] is None
    application = desk.app
    assert isinstance(application, Application)
    application.lifecycle.sweep.sweep_tickets()

    started = desk.get(f"/tickets/{made['id']}", headers=W, status=200).json
    assert (started["status"], started["dispatch"]["state"]) == ("in_progress", "queued")
