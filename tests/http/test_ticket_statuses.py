"""The statuses of a ticket: every way there is, and every one there is not."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import Json, refused
from tests.tickets import TicketPlace
from tickets.app import Application
from tickets.lifecycle.domain.documents import NewTicket
from tickets.lifecycle.domain.statuses import EDGES, Status

W = {"X-Workspace-Id": "w"}
STATUSES = get_args(Status)
# How to get to a status from a new ticket, and what each step wants.
WAYS: dict[str, list[str]] = {
    "open": [],
    "in_progress": ["in_progress"],
    "blocked": ["in_progress", "blocked"],
    "done": ["in_progress", "done"],
    "failed": ["in_progress", "failed"],
    "cancelled": ["cancelled"],
}
WANTED: dict[str, Json] = {
    "blocked": {"reason": "r"},
    "failed": {"error_message": "e"},
    "in_progress": {"external": True},
}


@pytest.fixture
def place(app: Application) -> TicketPlace:
    return TicketPlace(app.lifecycle, workspace_id="w")


def step(from_: str, to: str) -> Json:
    wanted = {} if (from_, to) == ("blocked", "in_progress") else WANTED.get(to, {})
    return {"to": to, **wanted}


def brought(client: Client, ticket_id: str, status: str) -> Json:
    """Bring a new ticket to a status; return it."""
    at = "open"
    for to in WAYS[status]:
        client.post_json(
            f"/tickets/{ticket_id}/transition", step(at, to), headers=W, status=200
        )
        at = to
    ticket: Json = client.get(f"/tickets/{ticket_id}", headers=W, status=200).json
    return ticket


def events(client: Client, ticket_id: str) -> list[Json]:
    items: list[Json] = client.get(
        f"/tickets/{ticket_id}/events?limit=1000", headers=W, status=200
    ).json["items"]
    return items


# T-02
@pytest.mark.parametrize(("from_", "to"), list(itertools.product(STATUSES, STATUSES)))
def test_a_ticket_goes_the_eight_ways_and_no_other(
    from_: str, to: str, client: Client, place: TicketPlace
) -> None:
    ticket_id = place.ticket().id
    before = brought(client, ticket_id, from_)
    told = events(client, ticket_id)
    path = f"/tickets/{ticket_id}/transition"

    if (from_, to) in EDGES:
        answer = client.post_json(path, step(from_, to), headers=W, status=200).json
        assert (answer["status"], answer["version"]) == (to, before["version"] + 1)
        last = events(client, ticket_id)[-1]
        assert (last["type"], last["data"]["from"], last["data"]["to"]) == (
            "TicketStatusChanged",
            from_,
            to,
        )
    else:
        answer = client.post_json(path, step(from_, to), headers=W, status=409)
        assert answer.json == refused("invalid_transition")
        assert from_ in answer.json["error"]["message"]
        assert to in answer.json["error"]["message"]
        assert events(client, ticket_id) == told
        assert client.get(f"/tickets/{ticket_id}", headers=W).json == before


def test_there_are_eight_ways() -> None:
    assert len(EDGES) == 8


def test_each_end_tells_what_came_of_it(
    client: Client, place: TicketPlace, clock: FrozenClock
) -> None:
    failed, cancelled, done = (place.start(place.ticket()) for _ in range(3))
    clock.advance(ms=500)
    place.move(failed, "failed", error_message="x" * 5_000)
    place.move(cancelled, "cancelled", reason="not wanted")
    place.move(done, "done", output_json=None)

    shown = [events(client, each.id)[-2:] for each in (failed, cancelled, done)]

    assert shown[0][0]["data"] == {
        "error_code": "reported",
        "error_message": "x" * 4_000,
        "output_errors": [],
        "task_id": None,
        "run_id": None,
    }
    assert shown[1][0]["data"] == {
        "reason": "not wanted",
        "from": "in_progress",
        "withdrawn_task_id": None,
        "withdrawn_run_id": None,
    }
    assert shown[2][0]["data"] == {
        "output_json": None,
        "task_id": None,
        "run_id": None,
        "generation": 0,
        "duration_ms": 500,
    }
    assert [each[1]["type"] for each in shown] == ["TicketStatusChanged"] * 3


def test_an_open_ticket_without_an_assignee_wants_one_to_start(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.ticket()
    path = f"/tickets/{ticket.id}"

    for part, body in (("transition", {"to": "in_progress"}), ("dispatch", {})):
        answer = client.post_json(f"{path}/{part}", body, headers=W, status=409)
        assert answer.json == refused("not_assigned")


def test_an_agent_starts_nothing_outside_and_cancels_only_its_own(
    client: Client, place: TicketPlace
) -> None:
    made = place.do.tickets.create(place.as_agent("w-a"), NewTicket(title="made by the agent"))
    foreign, mine = place.ticket(), place.ticket(assigned_agent_id="w-a")
    agent = {**W, "X-Actor": "agent:w-a"}

    started = client.post_json(
        f"/tickets/{foreign.id}/transition",
        {"to": "in_progress", "external": True},
        headers=agent,
        status=400,
    )
    refusal = client.post_json(
        f"/tickets/{foreign.id}/transition", {"to": "cancelled"}, headers=agent, status=409
    )

    assert started.json["error"]["code"] == "invalid_request"
    assert refusal.json == refused("not_assignee")
    for each in (made, mine):
        client.post_json(
            f"/tickets/{each.id}/transition", {"to": "cancelled"}, headers=agent, status=200
        )


# T-26
def test_what_an_agent_was_given_stays_while_the_ticket_is_in_progress(
    client: Client, place: TicketPlace
) -> None:
    path = f"/tickets/{place.start(place.ticket()).id}"

    for body in (
        {"mode": "plan"},
        {"expected_output_schema": {"type": "object"}},
        {"dispatch": {"on_dead_letter": "block"}},
    ):
        answer = client.patch_json(path, body, headers=W, status=409)
        assert answer.json == refused("execution_locked")
    client.patch_json(path, {"title": "new", "priority": "low"}, headers=W, status=200)
    assert client.post_json(f"{path}/unassign", {}, headers=W, status=409).json == refused(
        "execution_locked"
    )


def test_what_has_ended_changes_in_its_words_only(client: Client, place: TicketPlace) -> None:
    ticket = place.move(place.start(place.ticket()), "done")
    path = f"/tickets/{ticket.id}"

    refusals: list[tuple[Any, str, Json]] = [
        (client.patch_json, path, {"mode": "plan"}),
        (client.patch_json, path, {"parent_ticket_id": place.ticket().id}),
        (client.post_json, f"{path}/assign", {"agent_id": "w-a"}),
        (client.post_json, f"{path}/unassign", {}),
    ]
    for ask, target, body in refusals:
        assert ask(target, body, headers=W, status=409).json == refused("ticket_terminal")
    words = {"title": "a", "description": "b", "priority": "low", "labels": ["c"]}
    client.patch_json(path, {**words, "project_id": "p"}, headers=W, status=200)
    client.post_json(f"{path}/comments", {"body": "b"}, headers=W, status=201)
    client.post_json(
        f"{path}/collaborators", {"collaborator_id": "user:x"}, headers=W, status=201
    )


def test_an_archived_workspace_is_read_only_but_for_its_status(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.ticket()
    client.patch_json("/workspaces/w", {"status": "archived"}, status=200)

    for answer in (
        client.post_json("/tickets", {"title": "t"}, headers=W, status=409),
        client.patch_json(f"/tickets/{ticket.id}", {"title": "x"}, headers=W, status=409),
        client.patch_json("/workspaces/w", {"name": "x"}, status=409),
        client.put_json("/workspaces/w/agents/new", {"role": "r"}, status=409),
    ):
        assert answer.json == refused("workspace_archived")
    nothing = "00000000-0000-4000-8000-000000000000"
    client.patch_json(f"/tickets/{nothing}", {"title": "x"}, headers=W, status=404)
    client.get(f"/tickets/{ticket.id}", headers=W, status=200)
    client.patch_json("/workspaces/w", {"status": "active"}, status=200)
    client.patch_json(f"/tickets/{ticket.id}", {"title": "x"}, headers=W, status=200)


def test_a_lease_token_proves_nothing_where_no_agent_is_at_work(
    client: Client, place: TicketPlace
) -> None:
    path = f"/tickets/{place.start(place.ticket()).id}/transition"

    for token in ("0" * 64, "no token"):
        answer = client.post_json(
            path, {"to": "done"}, headers={**W, "X-Lease-Token": token}, status=401
        )
        assert answer.json == refused("unauthorized")


def test_an_agent_outside_may_say_how_it_ended(client: Client, place: TicketPlace) -> None:
    ticket = place.start(place.ticket())
    agent = {**W, "X-Actor": "agent:w-a"}

    done = client.post_json(
        f"/tickets/{ticket.id}/transition", {"to": "done"}, headers=agent, status=200
    )

    assert done.json["status"] == "done"
    assert events(client, ticket.id)[-1]["data"]["trigger"] == "agent"
