"""Tickets that several change at once: one wins, and nothing is lost or told twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Client
from tests.factories import Json
from tests.process.serving import eventually
from tests.tickets import TicketPlace
from tests.worlds import World, blocked_connections
from tickets.app import Application

W = {"X-Workspace-Id": "w"}
CLIENTS = 8
PATIENCE_S = 30


def together(count: int, act: Any) -> list[Any]:
    """Do something as many times at once; return the answers."""
    start = threading.Barrier(count)

    def one(number: int) -> Any:
        start.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# T-25
def test_of_two_patches_on_one_version_one_is_done(app: Application, client: Client) -> None:
    ticket = TicketPlace(app.lifecycle, workspace_id="w").ticket()

    answers = together(
        2,
        lambda number: Client(app).patch_json(
            f"/tickets/{ticket.id}",
            {"title": str(number)},
            headers={**W, "If-Match": '"1"'},
            expect_errors=True,
        ),
    )

    assert sorted(answer.status_int for answer in answers) == [200, 412]
    assert client.get(f"/tickets/{ticket.id}", headers=W).json["version"] == 2


def test_patches_without_a_condition_are_all_done_in_some_order(
    app: Application, client: Client
) -> None:
    ticket = TicketPlace(app.lifecycle, workspace_id="w").ticket()

    together(
        CLIENTS,
        lambda number: Client(app).post_json(
            f"/tickets/{ticket.id}/labels", {"labels": [str(number)]}, headers=W, status=200
        ),
    )

    shown = client.get(f"/tickets/{ticket.id}", headers=W).json
    assert sorted(shown["labels"]) == [str(number) for number in range(CLIENTS)]
    assert shown["version"] == CLIENTS + 1


def test_two_links_at_once_close_no_circle(app: Application) -> None:
    place = TicketPlace(app.lifecycle, workspace_id="w")
    for _ in range(5):
        pair = [place.ticket(), place.ticket()]

        def add(number: int, pair: list[Any] = pair) -> Any:
            body: Json = {"type": "blocks", "target_ticket_id": pair[1 - number].id}
            return Client(app).post_json(
                f"/tickets/{pair[number].id}/links", body, headers=W, expect_errors=True
            )

        assert sorted(each.status_int for each in together(2, add)) == [201, 409]


def test_a_ticket_ends_once(app: Application, client: Client) -> None:
    place = TicketPlace(app.lifecycle, workspace_id="w")
    ticket = place.start(place.ticket())
    ends: list[Json] = [
        {"to": "done"},
        {"to": "cancelled"},
        {"to": "done"},
        {"to": "cancelled"},
    ]

    answers = together(
        len(ends),
        lambda number: Client(app).post_json(
            f"/tickets/{ticket.id}/transition", ends[number], headers=W, expect_errors=True
        ),
    )

    assert sorted(each.status_int for each in answers) == [200, 409, 409, 409]
    events = client.get(f"/tickets/{ticket.id}/events", headers=W).json["items"]
    assert [each["type"] for each in events].count("TicketStatusChanged") == 2


# The first has ended its blocker and not committed when the second ends the other one.
@pytest.mark.postgres
def test_the_last_two_blockers_that_end_at_once_let_the_ticket_go_on(world: World) -> None:
    place = TicketPlace(world.lifecycle)
    blockers = [place.start(place.ticket()) for _ in range(2)]
    ticket = place.start(place.ticket())
    place.link(blockers[0], "blocks", ticket)
    place.move(ticket, "blocked", reason="r", blocked_by_ticket_id=blockers[1].id)

    with ThreadPoolExecutor(1) as pool:
        with world.db.write():
            place.move(blockers[0], "done")
            second = pool.submit(place.move, blockers[1], "done")
            eventually(lambda: second.done() or blocked_connections(world.db) > 0)
        assert second.result(PATIENCE_S).status == "done"

    assert place.now(ticket).status == "in_progress"
