"""Services that are killed while Linear answers them, or fails to.

Their stand-in lives on. A service dies within milliseconds of something that it asked for,
mostly before it has heard or written down that it was done; a minute later another one goes
on. At the end each side has everything once, and says the same.
"""

from __future__ import annotations

import json
import random
import urllib.request
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.drills import rounds, seed
from tests.factories import Json
from tests.faults.crews import at_work
from tests.faults.linear_authors import WORKSPACE, Author
from tests.faults.odd_server import Offset, odd
from tests.faults.ticket_book import Book
from tests.faults.ticket_feeds import listed
from tests.linear import apart
from tests.process.clients import Client, eventually, free_port
from tests.process.crowd import Service, check_database, kill_all
from tests.process.serving import START_S, Server, running

SEED = seed(8)
ROUNDS = rounds(3, drill=10)
FEWEST_CALLS, MOST_CALLS = 5, 40
AUTHORS = 2
# After this time, what was in flight has been lost with its process.
LOST_MS = 61_000
DRAINED_S = 90.0
LINEAR = f"/workspaces/{WORKSPACE}/integrations/linear"
STATES = {
    "open": {"Todo"},
    "in_progress": {"In Progress", "In Review"},
    "blocked": {"Blocked"},
    "done": {"Done"},
    "failed": {"Canceled"},
    "cancelled": {"Canceled"},
}
PRIORITIES = {"critical": 1, "high": 2, "medium": 3, "low": 4}


def ask(linear: Server, path: str) -> Any:
    """Ask the stand-in what a client of Linear's could not."""
    address = f"http://{linear.host}:{linear.port}{path}"
    with urllib.request.urlopen(address, timeout=START_S) as answer:  # our own
        return json.load(answer)


def connect(client: Client, team_id: str) -> None:
    """Connect a new workspace."""
    client.post("/workspaces", {"id": WORKSPACE, "name": WORKSPACE}, status=201)
    body = {
        "enabled": True,
        "auth_kind": "api_key",
        "api_key": apart.KEY,
        "team_id": team_id,
        "webhook_secrets": [apart.SECRET],
        # Each jump of the clock is a time to look.
        "reconcile_interval_ms": 60_000,
    }
    assert client.send("PUT", LINEAR, body).status == 201


def is_drained(client: Client) -> bool:
    """Tell whether nothing waits to be sent."""
    queue = client.get(LINEAR)["queue"]
    assert queue["dead"] == 0, queue
    return bool(queue["pending"] + queue["inflight"] == 0)


class Sides:
    """The tickets and the issues, when all is over."""

    def __init__(self, client: Client, book: Book, shown: Json) -> None:
        self._client = client
        self._book = book
        self._shown = shown
        self._tickets = listed(client, f"/tickets?workspace_id={WORKSPACE}")
        self._issues = {issue["id"]: issue for issue in shown["issues"]}
        self._issue_of = {each["id"]: each["sync"]["external_id"] for each in self._tickets}

    def check(self) -> None:
        """Compare them, and both with what was answered."""
        made = [wrote.answer["id"] for wrote in self._book.of_kind("create")]
        assert sorted(self._issue_of) == sorted(made)
        assert sorted(self._issues) == sorted(self._issue_of.values())
        for ticket in self._tickets:
            self._check_values(ticket)
        self._check_comments()
        self._check_relations()
        states = Counter(row["state"] for row in listed(self._client, f"{LINEAR}/outbox?"))
        assert set(states) == {"done"}

    def _check_values(self, ticket: Json) -> None:
        issue = self._issues[self._issue_of[ticket["id"]]]
        parent = ticket["parent_ticket_id"]
        assert {
            "title": ticket["title"],
            "description": ticket["description"],
            "priority": PRIORITIES[ticket["priority"]],
            "labels": sorted(ticket["labels"]),
            "parentId": parent and self._issue_of[parent],
            "identifier": ticket["external_key"],
        } == {
            "title": issue["title"],
            "description": issue["description"],
            "priority": issue["priority"],
            "labels": sorted(issue["labels"]),
            "parentId": issue["parentId"],
            "identifier": issue["identifier"],
        }
        assert issue["state"] in STATES[ticket["status"]], (ticket, issue)
        sync = ticket["sync"]
        assert (sync["state"], sync["conflict"], sync["pending"]) == ("synced", None, 0), sync
        # Nobody has changed anything in Linear, so what people said last stands.
        said = [
            wrote
            for wrote in self._book.of_kind("create", "patch")
            if ticket["id"] in (wrote.about, wrote.answer["id"])
        ]
        last = max(said, key=lambda wrote: wrote.answer["version"])
        assert ticket["title"] == last.mark, (ticket, last)

    def _check_comments(self) -> None:
        told = {comment["id"]: comment for comment in self._shown["comments"]}
        bodies = Counter(comment["body"] for comment in told.values())
        assert set(bodies.values()) <= {1}
        for ticket in self._tickets:
            path = f"/tickets/{ticket['id']}/comments?workspace_id={WORKSPACE}"
            said = [each for each in listed(self._client, path) if each["kind"] == "text"]
            meant = [w.mark for w in self._book.of_kind("comment") if w.about == ticket["id"]]
            assert [each["body"] for each in said] == meant
            for comment in said:
                assert told.pop(comment["id"])["body"] == comment["body"]
        failed = [each["error_message"] for each in self._tickets if each["error_message"]]
        assert sorted(f"Failed: {each}" for each in failed) == sorted(
            comment["body"] for comment in told.values()
        )

    def _check_relations(self) -> None:
        links = {
            (link["id"], self._issue_of[link["source_ticket_id"]])
            for ticket in self._tickets
            for link in listed(
                self._client, f"/tickets/{ticket['id']}/links?workspace_id={WORKSPACE}"
            )
        }
        assert links == {(each["id"], each["issueId"]) for each in self._shown["relations"]}


@pytest.mark.drill
def test_each_issue_is_there_once_whenever_a_service_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    clock = tmp_path / "offset"
    offset, port = Offset(clock), free_port()
    webhooks = f"http://127.0.0.1:{port}/webhooks/linear/{WORKSPACE}"
    command = [apart.__file__, str(SEED), str(clock), webhooks]
    book = Book(service := Service(), [])
    with ExitStack() as stack:
        linear = stack.enter_context(running(command, home=tmp_path))
        place = ("--port", str(port))
        api = ("--linear-api-url", f"http://{linear.host}:{linear.port}/graphql")
        serve = partial(odd, tmp_path, *place, *api, ODD_CLOCK=str(clock))
        server = stack.enter_context(serve())
        with Client(server) as client:
            connect(client, ask(linear, "/shown")["team_id"])
        service.is_now(server)
        authors = [Author(book, f"author{number}", SEED) for number in range(AUTHORS)]
        with at_work(service, book.failures, book.ending, authors):
            for _ in range(ROUNDS):
                calls = ask(linear, "/shown")["count"] + chance.randint(
                    FEWEST_CALLS, MOST_CALLS
                )
                ask(linear, f"/after?count={calls}")
                service.is_now(None)
                kill_all(server)
                offset.ms += LOST_MS
                server = stack.enter_context(serve())
                service.is_now(server)
        ask(linear, "/calm")
        kill_all(server)
        offset.ms += LOST_MS
        server = stack.enter_context(serve())
        with Client(server) as client:
            eventually(partial(is_drained, client), within_s=DRAINED_S)
            Sides(client, book, ask(linear, "/shown")).check()
        assert server.stop() == 0
    check_database(tmp_path)
