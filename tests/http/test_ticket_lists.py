"""Lists of tickets, and the feed of a workspace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import Json, refused
from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.app import Application

W = {"X-Workspace-Id": "w"}


@pytest.fixture
def place(app: Application) -> TicketPlace:
    return TicketPlace(app.lifecycle, workspace_id="w")


def listed(client: Client, query: str = "") -> list[str]:
    """Return the titles on one page."""
    items = client.get(f"/tickets?{query}", headers=W, status=200).json["items"]
    return [item["title"] for item in items]


def walked(client: Client, query: str) -> list[str]:
    """Return the titles on all pages."""
    titles: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/tickets?{query}{cursor}", headers=W, status=200).json
        titles += [item["title"] for item in page["items"]]
        if page["next_cursor"] is None:
            return titles
        cursor = f"&cursor={page['next_cursor']}"


def test_filters_keep_what_they_name(client: Client, place: TicketPlace) -> None:
    parent = place.ticket("parent", labels=["Bug", "ui", 'a"b'])
    place.ticket("child", parent_ticket_id=parent.id, project_id="p", priority="critical")
    mine = place.ticket("mine", assigned_agent_id="w-a", labels=["bug", "100%"])
    place.start(place.ticket("started", description="Über 50% ROT_13!"))
    blocked = place.ticket("blocked")
    place.link(mine, "blocks", blocked)

    found = {
        query: listed(client, query)
        for query in (
            "status=in_progress",
            "status=in_progress,done",
            "priority=critical",
            "assigned_agent_id=w-a",
            f"parent_ticket_id={parent.id}",
            "project_id=p",
            "label=BUG",
            "label=bug&label=UI",
            "label=a%22b",
            "label=a",
            "label=10%25",
            "label=%25",
            "q=%C3%BCBER",
            "q=50%25+rot_13!",
            "q=5_%25",
            "provider=linear",
            "is_blocked=true",
            "is_blocked=false&status=open",
            "dispatch_state=waiting",
            "dispatch_state=external",
        )
    }

    assert found == {
        "status=in_progress": ["started"],
        "status=in_progress,done": ["started"],
        "priority=critical": ["child"],
        "assigned_agent_id=w-a": ["mine"],
        f"parent_ticket_id={parent.id}": ["child"],
        "project_id=p": ["child"],
        "label=BUG": ["parent", "mine"],
        "label=bug&label=UI": ["parent"],
        "label=a%22b": ["parent"],
        "label=a": [],
        "label=10%25": [],
        "label=%25": [],
        "q=%C3%BCBER": ["started"],
        "q=50%25+rot_13!": ["started"],
        "q=5_%25": [],
        "provider=linear": [],
        "is_blocked=true": ["blocked"],
        "is_blocked=false&status=open": ["parent", "child", "mine"],
        "dispatch_state=waiting": ["mine"],
        "dispatch_state=external": ["started"],
    }


def test_each_order_is_walked_in_pages_without_a_repetition(
    client: Client, place: TicketPlace, clock: FrozenClock
) -> None:
    for number, priority in enumerate(("low", "critical", "medium", "low", "high")):
        clock.advance(ms=1)
        place.ticket(str(number), priority=priority)

    assert walked(client, "limit=2") == ["0", "1", "2", "3", "4"]
    assert walked(client, "limit=2&order=desc") == ["4", "3", "2", "1", "0"]
    assert walked(client, "limit=2&sort=updated&order=desc") == ["4", "3", "2", "1", "0"]
    assert walked(client, "limit=2&sort=priority&order=desc") == ["1", "4", "2", "3", "0"]
    assert walked(client, "limit=2&sort=priority") == ["0", "3", "2", "4", "1"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status=nothing", "invalid_request"),
        ("status=open,nothing", "invalid_request"),
        ("priority=urgent", "invalid_request"),
        ("is_blocked=maybe", "invalid_request"),
        ("dispatch_state=gone", "invalid_request"),
        ("sort=title", "invalid_request"),
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
    ],
)
def test_what_no_list_knows_is_refused(
    query: str, code: str, client: Client, place: TicketPlace
) -> None:
    answer = client.get(f"/tickets?{query}", headers=W, status=400)

    assert answer.json["error"]["code"] == code


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("/tickets?status=nope", "'in_progress'"),
        ("/tickets?priority=nope", "'critical'"),
        ("/ticket-events?type=Nope", "'TicketCreated'"),
    ],
)
def test_words_that_no_list_knows_are_refused_in_words(
    target: str, word: str, client: Client, place: TicketPlace
) -> None:
    [problem] = client.get(target, headers=W, status=400).json["error"]["details"]

    assert problem["problem"].startswith("must be ")
    assert word in problem["problem"]


def test_the_feed_of_a_workspace_is_followed_to_its_end_and_beyond(
    client: Client, place: TicketPlace, app: Application
) -> None:
    other = TicketPlace(app.lifecycle, workspace_id="other")
    first, _, second = (
        place.ticket("1"),
        other.ticket("foreign"),
        place.start(place.ticket("2")),
    )

    def part(query: str) -> Any:
        return client.get(f"/ticket-events?{query}", headers=W, status=200).json

    seen: list[Json] = []
    cursor = "0"
    for _ in range(4):
        answer = part(f"after_id={cursor}&limit=2")
        seen += answer["items"]
        cursor = answer["next_cursor"]

    assert [(each["ticket_id"], each["type"]) for each in seen] == [
        (first.id, "TicketCreated"),
        (second.id, "TicketCreated"),
        (second.id, "TicketStarted"),
        (second.id, "TicketStatusChanged"),
    ]
    assert part(f"after_id={cursor}") == {"items": [], "next_cursor": cursor}
    place.move(second, "done")
    news = part(f"cursor={cursor}&type=TicketCompleted,TicketFailed")
    assert [each["type"] for each in news["items"]] == ["TicketCompleted"]
    of_one = part(f"ticket_id={first.id}")["items"]
    assert [each["ticket_id"] for each in of_one] == [first.id]


def test_a_cursor_from_before_a_restore_is_refused(client: Client, place: TicketPlace) -> None:
    place.ticket("mine")
    newest = int(client.get("/ticket-events", headers=W, status=200).json["next_cursor"])

    for name in ("after_id", "cursor"):
        ahead = f"/ticket-events?{name}={newest + 1}"
        answer = client.get(ahead, headers=W, status=400)
        assert answer.json == refused("invalid_cursor")
        client.get(ahead, headers={"X-Workspace-Id": "nowhere"}, status=404)
    client.get(f"/ticket-events?after_id={newest}", headers=W, status=200)


# T-23
def test_a_ticket_of_another_workspace_is_as_one_that_does_not_exist(
    client: Client, place: TicketPlace, app: Application
) -> None:
    foreign = TicketPlace(app.lifecycle, workspace_id="other").ids()
    mine = place.ticket("mine")

    def answers(ids: Json) -> list[Any]:
        one = f"/tickets/{ids['ticket_id']}"
        own = f"/tickets/{mine.id}"
        asked: list[tuple[str, str, Json | None]] = [
            ("GET", one, None),
            ("GET", f"{one}/events", None),
            ("GET", f"{one}/comments", None),
            ("GET", f"{one}/links", None),
            ("GET", f"{one}/channel", None),
            ("GET", f"{one}/collaborators", None),
            ("GET", f"{one}/dispatches", None),
            ("PATCH", one, {"title": "x"}),
            ("POST", f"{one}/transition", {"to": "cancelled"}),
            ("POST", f"{one}/assign", {"agent_id": "w-a"}),
            ("POST", f"{one}/unassign", {}),
            ("POST", f"{one}/dispatch", {}),
            ("POST", f"{one}/labels", {"labels": ["l"]}),
            ("POST", f"{one}/comments", {"body": "b"}),
            ("POST", f"{own}/links", {"type": "blocks", "target_ticket_id": ids["ticket_id"]}),
            ("POST", "/tickets", {"title": "t", "parent_ticket_id": ids["ticket_id"]}),
            ("PATCH", own, {"parent_ticket_id": ids["ticket_id"]}),
            ("POST", f"{own}/assign", {"agent_id": ids["agent_id"]}),
            ("POST", f"{own}/assign", {"team_id": ids["team_id"]}),
            ("POST", f"{own}/collaborators", {"collaborator_id": ids["collaborator_id"]}),
            ("DELETE", f"{own}/links/{ids['link_id']}", None),
            ("GET", f"/ticket-events?ticket_id={ids['ticket_id']}", None),
        ]
        shown = []
        for method, path, body in asked:
            given = {} if body is None else {"params": body}
            ask: Any = {
                "GET": client.get,
                "DELETE": client.delete,
                "POST": client.post_json,
                "PATCH": client.patch_json,
            }[method]
            answer = ask(path, headers=W, status=404, **given)
            headers = {k: v for k, v in answer.headers.items() if k.lower() != "x-request-id"}
            shown.append((answer.body, headers))
        return shown

    nothing = dict.fromkeys(foreign, "00000000-0000-4000-8000-000000000000")

    assert answers(foreign) == answers(nothing)
    assert answers(foreign)[0][0] != b""
    assert client.get("/tickets/x", headers=W, status=404).json == refused("ticket_not_found")
    assert listed(client) == ["mine"]


def test_a_world_without_a_service_has_tickets_too(world: World) -> None:
    place = TicketPlace(world.lifecycle)

    assert place.now(place.start(place.ticket())).status == "in_progress"
