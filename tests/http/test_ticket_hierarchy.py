"""Parents, children, delegation, assignment and teams."""

from __future__ import annotations

import pytest

from tests.conftest import Client
from tests.factories import Json, field_refused, refused
from tests.tickets import TicketPlace
from tickets.app import Application
from tickets.lifecycle.domain.records import Ticket

W = {"X-Workspace-Id": "w"}
A, B = "w-a", "w-b"


@pytest.fixture
def place(app: Application) -> TicketPlace:
    return TicketPlace(app.lifecycle, workspace_id="w")


def types(client: Client, ticket_id: str) -> list[str]:
    found = client.get(f"/tickets/{ticket_id}/events?limit=1000", headers=W, status=200)
    return [each["type"] for each in found.json["items"]]


def delegate(
    client: Client, ticket_id: str, by: str, to: str, status: int = 201, **child: object
) -> Json:
    body = {
        "delegated_by_agent_id": by,
        "agent_id": to,
        "child": {"title": "part", **child},
    }
    answer: Json = client.post_json(
        f"/tickets/{ticket_id}/delegate", body, headers=W, status=status
    ).json
    return answer


def line(place: TicketPlace, count: int) -> list[Ticket]:
    """Make tickets that stand one below the other."""
    tickets = [place.ticket()]
    for _ in range(count - 1):
        tickets.append(place.ticket(parent_ticket_id=tickets[-1].id))
    return tickets


# T-28
def test_no_ticket_stands_below_itself(client: Client, place: TicketPlace) -> None:
    parent, child = line(place, 2)

    for target in (child, parent):
        answer = client.patch_json(
            f"/tickets/{parent.id}", {"parent_ticket_id": target.id}, headers=W, status=409
        )
        assert answer.json == refused("parent_cycle")


# T-28
def test_a_cascade_calls_off_all_below_the_deepest_first(
    client: Client, place: TicketPlace
) -> None:
    parent, child, grandchild = line(place, 3)
    done = place.move(place.start(place.ticket(parent_ticket_id=parent.id)), "done")

    place.move(parent, "cancelled", reason="all of it", cascade=True)

    assert [place.now(each).status for each in (parent, child, grandchild, done)] == [
        "cancelled",
        "cancelled",
        "cancelled",
        "done",
    ]
    feed = client.get("/ticket-events?type=TicketStatusChanged&limit=1000", headers=W).json
    told = [(each["ticket_id"], each["data"]["trigger"]) for each in feed["items"][-3:]]
    assert told == [(parent.id, "user"), (grandchild.id, "cascade"), (child.id, "cascade")]
    assert feed["items"][-1]["caused_by"] == feed["items"][-3]["id"]


def test_without_a_cascade_children_go_on(place: TicketPlace) -> None:
    parent, child = line(place, 2)

    place.move(parent, "cancelled")

    assert place.now(child).status == "open"


def test_sixteen_tickets_may_stand_above_one_and_no_more(
    client: Client, place: TicketPlace
) -> None:
    tickets = line(place, 17)
    pair = line(place, 2)

    last = {"title": "t", "parent_ticket_id": tickets[-1].id}
    moved = {"parent_ticket_id": tickets[-2].id}
    fits = {"parent_ticket_id": tickets[-3].id}

    assert client.post_json("/tickets", last, headers=W, status=409).json == refused(
        "parent_too_deep"
    )
    path = f"/tickets/{pair[0].id}"
    assert client.patch_json(path, moved, headers=W, status=409).json == refused(
        "parent_too_deep"
    )
    client.patch_json(path, fits, headers=W, status=200)


def test_a_ticket_shows_how_its_children_are(client: Client, place: TicketPlace) -> None:
    parent = place.ticket()
    for _ in range(2):
        place.ticket(parent_ticket_id=parent.id)
    place.start(place.ticket(parent_ticket_id=parent.id))

    shown = client.get(f"/tickets/{parent.id}", headers=W, status=200).json

    assert shown["children"] == {"total": 3, "by_status": {"in_progress": 1, "open": 2}}


# T-27
def test_a_part_is_delegated_to_another_agent(client: Client, place: TicketPlace) -> None:
    parent = place.ticket(assigned_agent_id=A)

    child = delegate(client, parent.id, A, B, priority="high", labels=["x"])

    assert (child["parent_ticket_id"], child["delegated_by_agent_id"]) == (parent.id, A)
    assert (child["assigned_agent_id"], child["priority"]) == (B, "high")
    assert types(client, child["id"]) == ["TicketCreated", "TicketAssigned", "TicketDelegated"]
    told = client.get(f"/tickets/{child['id']}/events", headers=W).json["items"][-1]
    assert told["data"] == {
        "delegated_by_agent_id": A,
        "to_agent_id": B,
        "parent_ticket_id": parent.id,
        "depth": 1,
    }


# T-27
def test_the_ninth_level_of_delegation_is_refused(client: Client, place: TicketPlace) -> None:
    ticket_id, by, to = place.ticket(assigned_agent_id=A).id, A, B
    for _ in range(8):
        ticket_id = delegate(client, ticket_id, by, to)["id"]
        by, to = to, by

    assert delegate(client, ticket_id, by, to, 409) == refused("delegation_too_deep")


def test_who_delegates_works_on_the_ticket_or_beside_it(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.ticket(assigned_agent_id=A)

    assert delegate(client, ticket.id, B, A, 409) == refused("not_assignee")
    assert delegate(client, ticket.id, A, A, 400) == refused("invalid_delegation")
    assert delegate(client, ticket.id, "nobody", A, 404) == refused("agent_not_found")
    assert delegate(client, ticket.id, A, "nobody", 404) == refused("agent_not_found")
    client.post_json(
        f"/tickets/{ticket.id}/collaborators", {"collaborator_id": B}, headers=W, status=201
    )
    delegate(client, ticket.id, B, A)


def test_a_ticket_handed_on_has_a_new_assignee_until_a_person_decides(
    client: Client, place: TicketPlace
) -> None:
    ticket = place.ticket(assigned_agent_id=A)
    path = f"/tickets/{ticket.id}"

    handed = client.post_json(
        f"{path}/delegate", {"delegated_by_agent_id": A, "agent_id": B}, headers=W, status=200
    ).json
    assigned = client.post_json(f"{path}/assign", {"agent_id": A}, headers=W, status=200).json
    again = client.post_json(f"{path}/assign", {"agent_id": A}, headers=W, status=200).json

    assert (handed["assigned_agent_id"], handed["delegated_by_agent_id"]) == (B, A)
    assert (assigned["assigned_agent_id"], assigned["delegated_by_agent_id"]) == (A, None)
    assert again == assigned
    assert types(client, ticket.id) == [
        "TicketCreated",
        "TicketAssigned",
        "TicketReassigned",
        "TicketDelegated",
        "TicketReassigned",
    ]


def test_an_agent_that_assigns_delegates(client: Client, place: TicketPlace) -> None:
    agent = {**W, "X-Actor": f"agent:{A}"}
    body = {"title": "t", "assigned_agent_id": B}

    made = client.post_json("/tickets", body, headers=agent, status=201).json
    stranger = client.post_json(
        f"/tickets/{made['id']}/assign", {"agent_id": B}, headers=agent, status=409
    )

    assert (made["delegated_by_agent_id"], made["created_by"]) == (A, f"agent:{A}")
    assert types(client, made["id"])[:3] == [
        "TicketCreated",
        "TicketAssigned",
        "TicketDelegated",
    ]
    assert stranger.json == refused("not_assignee")


def test_an_assigned_ticket_waits_and_says_why(client: Client, place: TicketPlace) -> None:
    ticket = place.ticket()
    path = f"/tickets/{ticket.id}"

    waiting = client.post_json(f"{path}/assign", {"agent_id": A}, headers=W, status=200).json
    refusal = client.post_json(
        f"{path}/transition", {"to": "in_progress"}, headers=W, status=409
    )
    free = client.post_json(f"{path}/unassign", {}, headers=W, status=200).json

    assert (waiting["status"], waiting["dispatch"]["state"]) == ("open", "waiting")
    assert refusal.json == refused("not_ready")
    assert waiting["dispatch"]["wait_reason"] in refusal.json["error"]["message"]
    assert (free["assigned_agent_id"], free["dispatch"]["state"]) == (None, "none")
    assert free["version"] == 3


# T-32
def test_a_ticket_of_a_paused_workspace_waits(client: Client, place: TicketPlace) -> None:
    client.patch_json("/workspaces/w", {"status": "paused"}, status=200)

    ticket = place.ticket(assigned_agent_id=A)

    assert ticket.dispatch.wait_reason == "workspace_paused"


def test_a_ticket_is_for_an_agent_or_a_team(client: Client, place: TicketPlace) -> None:
    path = f"/tickets/{place.ticket().id}/assign"
    client.put_json("/workspaces/w/teams/t", {"name": "T", "agent_ids": [B, A, B]}, status=201)

    for body in ({}, {"agent_id": A, "team_id": "t"}):
        answer = client.post_json(path, body, headers=W, status=400)
        assert answer.json == field_refused("agent_id")
    team = client.post_json(path, {"team_id": "t"}, headers=W, status=200).json
    unknown = client.post_json(path, {"team_id": "u"}, headers=W, status=404)

    assert (team["assigned_team_id"], team["assigned_agent_id"]) == ("t", None)
    assert unknown.json == refused("team_not_found")
    assert client.get("/workspaces/w/teams/t").json["agent_ids"] == [B, A]


def test_who_is_assigned_is_not_forgotten(client: Client, place: TicketPlace) -> None:
    client.put_json("/workspaces/w/teams/t", {"name": "T", "agent_ids": [A]}, status=201)
    of_agent, of_team = place.ticket(assigned_agent_id=A), place.ticket(assigned_team_id="t")

    in_use = client.delete(f"/workspaces/w/agents/{A}", status=409)
    team_in_use = client.delete("/workspaces/w/teams/t", status=409)

    assert (in_use.json, team_in_use.json) == (refused("agent_in_use"), refused("team_in_use"))
    for ticket in (of_agent, of_team):
        place.move(ticket, "cancelled")
    client.delete(f"/workspaces/w/agents/{A}", status=204)
    assert client.get("/workspaces/w/teams/t").json["agent_ids"] == []
    client.delete("/workspaces/w/teams/t", status=204)
    assert client.get("/workspaces/w/teams/t", status=404).json == refused("team_not_found")


def test_an_agent_belongs_to_one_workspace(client: Client, place: TicketPlace) -> None:
    client.post_json("/workspaces", {"id": "v", "name": "V"}, status=201)

    answer = client.put_json(f"/workspaces/v/agents/{A}", {"role": "coder"}, status=409)

    assert answer.json == refused("agent_in_other_workspace")
    client.get(f"/workspaces/v/agents/{A}", status=404)
