"""Links between tickets, and what they keep from starting."""

from __future__ import annotations

import pytest

from tests.conftest import Client
from tests.factories import Json, refused
from tests.tickets import TicketPlace
from tickets.app import Application
from tickets.lifecycle.domain.records import Ticket

W = {"X-Workspace-Id": "w"}


@pytest.fixture
def place(app: Application) -> TicketPlace:
    return TicketPlace(app.lifecycle, workspace_id="w")


def link(
    client: Client,
    source: Ticket,
    type_: str,
    target: Ticket,
    status: int = 201,
    **more: object,
) -> Json:
    body = {"type": type_, "target_ticket_id": target.id, **more}
    answer: Json = client.post_json(
        f"/tickets/{source.id}/links", body, headers=W, status=status
    ).json
    return answer


# T-21
def test_no_link_leads_back_to_where_it_came_from(client: Client, place: TicketPlace) -> None:
    a, b, c = (place.ticket(title) for title in "abc")
    link(client, a, "blocks", b)
    link(client, b, "blocks", c)

    assert link(client, c, "blocks", a, 409) == refused("link_cycle")
    assert link(client, a, "blocks", a, 400) == refused("invalid_link")
    assert link(client, a, "blocks", b, 409) == refused("duplicate_link")
    assert link(client, b, "blocks", a, 409, direction="incoming") == refused("duplicate_link")
    link(client, a, "relates_to", b)
    assert link(client, b, "relatesTo", a, 409) == refused("duplicate_link")


def test_a_link_is_seen_from_both_ends_and_changes_one_version(
    client: Client, place: TicketPlace
) -> None:
    a, b = place.ticket("a"), place.ticket("b")

    made = link(client, a, "blocks", b)

    assert made["direction"] == "outgoing"
    assert (place.now(a).version, place.now(b).version) == (2, 1)
    seen = client.get(f"/tickets/{b.id}/links", headers=W).json["items"]
    assert seen == [{**made, "direction": "incoming"}]
    event = client.get(f"/tickets/{a.id}/events", headers=W).json["items"][-1]
    assert event["type"] == "TicketDetailsUpdated"
    assert event["data"]["changed"]["links"]["added"][0]["id"] == made["id"]
    client.delete(f"/tickets/{b.id}/links/{made['id']}", headers=W, status=204)
    assert (place.now(a).version, place.now(b).version) == (2, 2)
    again = client.delete(f"/tickets/{b.id}/links/{made['id']}", headers=W, status=404)
    assert again.json == refused("link_not_found")


def test_what_has_ended_is_blocked_by_nothing_new(client: Client, place: TicketPlace) -> None:
    a, b = place.ticket("a"), place.move(place.ticket("b"), "cancelled")

    assert link(client, a, "blocks", b, 409) == refused("ticket_terminal")


@pytest.mark.parametrize(
    ("end", "is_blocked"), [("done", False), ("cancelled", False), ("failed", True)]
)
def test_a_blocker_that_ended_well_or_was_called_off_blocks_no_more(
    end: str, is_blocked: bool, client: Client, place: TicketPlace
) -> None:
    blocker, blocked = place.start(place.ticket()), place.ticket()
    place.link(blocker, "blocks", blocked)

    more = {"error_message": "e"} if end == "failed" else {}
    place.move(blocker, end, **more)

    assert place.now(blocked).is_blocked is is_blocked
    start = {"to": "in_progress", "external": True}
    client.post_json(
        f"/tickets/{blocked.id}/transition",
        start,
        headers=W,
        status=409 if is_blocked else 200,
    )


# T-22
def test_a_duplicate_is_called_off_and_blocks_as_the_other_does(
    client: Client, place: TicketPlace
) -> None:
    duplicate, other, waiting = (place.ticket(title) for title in "dew")
    place.link(duplicate, "blocks", waiting)

    link(client, duplicate, "duplicate_of", other)

    ended = place.now(duplicate)
    assert (ended.status, ended.status_reason) == ("cancelled", f"duplicate of {other.id}")
    told = client.get(f"/tickets/{duplicate.id}/events", headers=W).json["items"]
    assert [(each["type"], each["version"]) for each in told[-3:]] == [
        ("TicketDetailsUpdated", 3),
        ("TicketCancelled", 4),
        ("TicketStatusChanged", 4),
    ]
    assert told[-1]["data"]["trigger"] == "duplicate"
    assert place.now(waiting).blocked_by == [other.id]
    assert link(client, duplicate, "duplicateOf", waiting, 409) == refused("duplicate_link")
    assert link(client, other, "duplicateOf", duplicate, 409) == refused("link_cycle")
    place.move(place.start(other), "done")
    assert place.now(waiting).blocked_by == []


def test_a_duplicate_may_stay_open(client: Client, place: TicketPlace) -> None:
    duplicate, other = place.ticket(), place.ticket()

    link(client, duplicate, "duplicateOf", other, close_duplicate=False)

    assert place.now(duplicate).status == "open"


# T-30
def test_a_ticket_goes_on_by_itself_when_its_last_blocker_is_done(
    client: Client, place: TicketPlace
) -> None:
    one, two = place.start(place.ticket()), place.start(place.ticket())
    ticket = place.start(place.ticket())
    place.link(two, "blocks", ticket)
    place.move(ticket, "blocked", reason="needs it", blocked_by_ticket_id=one.id)
    assert place.now(ticket).blocked_kind == "dependency"
    assert sorted(place.now(ticket).blocked_by) == sorted([one.id, two.id])
    refusal = client.post_json(
        f"/tickets/{ticket.id}/transition", {"to": "in_progress"}, headers=W, status=409
    )
    assert refusal.json == refused("blocked_by_dependency")

    place.move(one, "done")
    assert place.now(ticket).status == "blocked"
    place.move(two, "done")

    assert place.now(ticket).status == "in_progress"
    told = client.get(f"/tickets/{ticket.id}/events", headers=W).json["items"]
    assert (told[-1]["type"], told[-1]["actor"]) == ("TicketStatusChanged", "system")
    assert told[-1]["data"]["trigger"] == "blocker_resolved"
    cause = client.get(f"/tickets/{two.id}/events", headers=W).json["items"][-1]
    assert told[-1]["caused_by"] == cause["id"]
    assert told[-2]["data"]["to"] == "blocked"


def test_a_ticket_that_waits_for_a_person_does_not_go_on_by_itself(
    place: TicketPlace,
) -> None:
    blocker, ticket = place.start(place.ticket()), place.start(place.ticket())
    place.link(blocker, "blocks", ticket)
    place.move(ticket, "blocked", reason="which one?")

    place.move(blocker, "done")

    assert place.now(ticket).status == "blocked"


def test_a_blocker_that_closes_a_circle_is_refused_and_the_ticket_goes_on(
    client: Client, place: TicketPlace
) -> None:
    ticket, later = place.start(place.ticket()), place.ticket()
    place.link(ticket, "blocks", later)

    answer = client.post_json(
        f"/tickets/{ticket.id}/transition",
        {"to": "blocked", "reason": "r", "blocked_by_ticket_id": later.id},
        headers=W,
        status=409,
    )

    assert answer.json == refused("link_cycle")
    assert place.now(ticket).status == "in_progress"


def test_an_assigned_ticket_that_is_blocked_waits_for_that(place: TicketPlace) -> None:
    blocker, ticket = place.ticket(), place.ticket(assigned_agent_id="w-a")

    link_id = place.link(blocker, "blocks", ticket)

    assert place.now(ticket).dispatch.wait_reason == "blocked_by_dependency"
    version = place.now(ticket).version
    place.do.links.remove(place.scope, blocker.id, link_id)
    assert place.now(ticket).dispatch.wait_reason != "blocked_by_dependency"
    assert place.now(ticket).version == version


def test_a_ticket_blocked_by_what_is_done_already_goes_on_at_once(place: TicketPlace) -> None:
    blocker = place.move(place.start(place.ticket()), "done")
    ticket = place.start(place.ticket())

    after = place.move(ticket, "blocked", reason="r", blocked_by_ticket_id=blocker.id)

    assert (after.status, after.version) == ("in_progress", ticket.version + 2)
