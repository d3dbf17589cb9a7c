"""What clients of tickets were answered, against what there is when all is over."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise

from tests.factories import Json
from tests.faults.ticket_book import ROLES, WORKSPACES, Book, Wrote
from tests.faults.ticket_feeds import listed
from tests.faults.ticket_replay import TERMINAL, replays
from tests.process.clients import Client

# The one event that each write of a person leaves of its ticket, by its kind.
LEAVES = {
    "create": "TicketCreated",
    "patch": "TicketDetailsUpdated",
    "move": "TicketStatusChanged",
    "link": "TicketDetailsUpdated",
    "unlink": "TicketDetailsUpdated",
    "label": "TicketDetailsUpdated",
}
# Of what a run was told last, and what became of it.
RUN_ENDS = {"transition": "completed", "fail": "failed", "release": "released"}


class Promises:
    """Compares the answers that are in a book with what a service shows."""

    def __init__(self, client: Client, book: Book, feeds: dict[str, list[Json]]) -> None:
        self._client = client
        self._book = book
        self._events = [
            event
            for workspace_id in WORKSPACES
            for event in feeds[f"/ticket-events?workspace_id={workspace_id}"]
        ]
        self._ledger = {
            event["seq"]: event
            for workspace_id in WORKSPACES
            for event in feeds[f"/ledger/events?workspace_id={workspace_id}"]
        }
        self._replays = replays(self._events)
        self._tasks = {task["id"]: task for task in client.pages("/tasks")}

    def check(self) -> None:
        """Compare all."""
        self._check_workspaces()
        self._check_people()
        self._check_tickets()
        self._check_agents()
        self._check_own_ledger()

    def _check_workspaces(self) -> None:
        shown = self._client.pages("/workspaces")
        assert [workspace["id"] for workspace in shown] == list(WORKSPACES)
        for workspace_id in WORKSPACES:
            agents = self._client.pages(f"/workspaces/{workspace_id}/agents")
            names = [f"{workspace_id}-{name}" for name in ROLES]
            assert sorted(agent["id"] for agent in agents) == sorted(names)

    # People.

    def _check_people(self) -> None:
        by_actor: dict[str, list[Json]] = defaultdict(list)
        for event in self._events:
            by_actor[event["actor"]].append(event)
        marks = {f"user:{wrote.mark}" for wrote in self._book.writes}
        assert {actor for actor in by_actor if actor.startswith("user:")} <= marks
        for wrote in self._book.writes:
            found = by_actor[f"user:{wrote.mark}"]
            if wrote.is_refused:
                assert found == [], wrote
            elif wrote.kind in LEAVES:
                self._check_left(wrote, found)

    def _check_left(self, wrote: Wrote, found: list[Json]) -> None:
        ticket_id = wrote.answer.get("id") if wrote.kind == "create" else wrote.about
        own = [event for event in found if event["ticket_id"] == ticket_id]
        left = sum(event["type"] == LEAVES[wrote.kind] for event in own)
        if not wrote.is_done:
            assert left <= 1, wrote
        elif (wrote.kind, wrote.body.get("to")) == ("move", "in_progress"):
            # The service itself starts what is given to an agent.
            assert left == bool(wrote.body.get("external")) or left == 1, wrote
        else:
            assert left == 1 or wrote.kind == "unlink", wrote
            assert left == 1 or not own, wrote

    # Tickets, as they are shown.

    def _check_tickets(self) -> None:
        shown = {
            ticket["id"]: ticket
            for workspace_id in WORKSPACES
            for ticket in listed(self._client, f"/tickets?workspace_id={workspace_id}")
        }
        assert set(shown) == set(self._replays)
        created = Counter(ticket["pipeline_run_id"] for ticket in shown.values())
        for wrote in self._book.of_kind("create"):
            times = created[wrote.mark]
            assert times == 1 if wrote.is_done else times <= wrote.was_repeated, wrote
        comments: Counter[str] = Counter()
        links: set[str] = set()
        for ticket_id, ticket in shown.items():
            replay = self._replays[ticket_id]
            assert {name: ticket[name] for name in replay.now} == replay.now, ticket_id
            links |= self._check_details(ticket)
            comments.update(self._said(ticket))
            self._check_work(ticket, self._dispatches(ticket))
        kept = {link for replay in self._replays.values() for link in replay.links}
        gone = {
            link["id"]
            for event in self._events
            if event["type"] == "TicketDetailsUpdated"
            for link in event["data"]["changed"].get("links", {}).get("removed", ())
        }
        assert links == kept - gone
        self._check_said(comments)

    def _path(self, ticket: Json, part: str) -> str:
        return f"/tickets/{ticket['id']}{part}?workspace_id={ticket['workspace_id']}"

    def _check_details(self, ticket: Json) -> set[str]:
        details = self._client.get(self._path(ticket, ""))
        assert {name: details[name] for name in ticket} == ticket
        own = listed(self._client, self._path(ticket, "/events"))
        assert own == [each for each in self._events if each["ticket_id"] == ticket["id"]]
        return {link["id"] for link in details["links"]}

    def _said(self, ticket: Json) -> list[str]:
        comments = listed(self._client, self._path(ticket, "/comments"))
        return [each["body"] for each in comments if each["kind"] == "text"]

    def _dispatches(self, ticket: Json) -> list[Json]:
        rows = listed(self._client, self._path(ticket, "/dispatches"))
        assert [row["generation"] for row in rows] == list(range(1, len(rows) + 1))
        assert ticket["dispatch"]["generation"] == len(rows)
        return rows

    def _check_work(self, ticket: Json, rows: list[Json]) -> None:
        """Compare a ticket with its tasks."""
        status, state = ticket["status"], ticket["dispatch"]["state"]
        live = [row for row in rows if row["ended_at_ms"] is None]
        if status == "open":
            assert rows == []
        elif status == "in_progress":
            assert len(live) == (state != "external"), ticket
        elif status in TERMINAL:
            assert (live, state) == ([], "ended"), ticket
        else:
            assert len(live) <= 1
        for row in rows:
            task = self._tasks[row["task_id"]]
            meant = (task["metadata"]["ticket_id"], task["metadata"]["generation"])
            assert meant == (ticket["id"], row["generation"])
            is_over = task["stage"] in TERMINAL or task["dead_letter_reason"] is not None
            assert is_over == (row not in live), (row, task)
            if not is_over:
                assert row["stage"] == task["stage"]
                assert (row["state"] == "held") == (status == "blocked")
        made = [
            task["id"]
            for task in self._tasks.values()
            if task["metadata"].get("ticket_id") == ticket["id"]
        ]
        assert sorted(made) == sorted(row["task_id"] for row in rows)

    def _check_said(self, comments: Counter[str]) -> None:
        for wrote in self._book.writes:
            is_said = wrote.kind == "comment" or wrote.body.get("kind") == "ticket.comment"
            if not is_said:
                continue
            times = comments.pop(wrote.mark, 0)
            if wrote.is_done:
                # A task without a ticket has nobody to tell.
                is_heard = wrote.kind == "comment" or self._has_ticket(wrote.about)
                assert times == is_heard, wrote
            else:
                assert times <= wrote.was_repeated, wrote
        assert not comments

    def _has_ticket(self, run_id: str) -> bool:
        task = self._tasks[self._client.get(f"/runs/{run_id}")["task_id"]]
        return "ticket_id" in task["metadata"]

    # Agents.

    def _check_agents(self) -> None:
        runs = [claim["run"]["id"] for claim in self._book.claims]
        assert len(runs) == len(set(runs))
        stored: dict[str, Json] = {}
        marks: Counter[str] = Counter()
        for task_id in self._tasks:
            found = self._client.pages(f"/tasks/{task_id}/runs")
            assert [run["attempt"] for run in found] == list(range(1, len(found) + 1))
            for one, next_ in pairwise(found):
                assert one["ended_at_ms"] <= next_["started_at_ms"], task_id
            stored |= {run["id"]: run for run in found}
            for event in self._client.pages(f"/tasks/{task_id}/events"):
                if isinstance(event["data"], dict) and "mark" in event["data"]:
                    marks[event["data"]["mark"]] += 1
        assert set(runs) <= set(stored)
        self._check_runs(stored)
        for wrote in self._book.of_kind("event"):
            times = marks.pop(wrote.mark, 0)
            assert times == 1 if wrote.is_done else times <= wrote.was_repeated, wrote
        assert not marks
        self._check_holders()

    def _check_runs(self, stored: dict[str, Json]) -> None:
        ends: dict[str, list[Wrote]] = defaultdict(list)
        for wrote in self._book.of_kind(*RUN_ENDS):
            ends[wrote.about].append(wrote)
        for claim in self._book.claims:
            run = stored[claim["run"]["id"]]
            told = ends[run["id"]]
            done = [RUN_ENDS[wrote.kind] for wrote in told if wrote.is_done]
            maybe = {RUN_ENDS[each.kind] for each in told if each.was_repeated}
            assert len(done) <= 1, told
            if done:
                assert run["status"] == done[0], (run, told)
            else:
                assert run["status"] in {"stale", "cancelled"} | maybe, (run, told)

    def _check_holders(self) -> None:
        """Find what agents said of their ticket's end."""
        text = Counter(
            word
            for event in self._events
            if event["type"] in ("TicketCompleted", "TicketFailed", "TicketStatusChanged")
            for word in set(json.dumps(event["data"]).split('"'))
        )
        for wrote in self._book.of_kind("holder"):
            if wrote.is_done:
                assert text[wrote.mark] >= 1, wrote
            elif wrote.is_refused:
                assert text[wrote.mark] == 0, wrote

    # The ledger's own.

    def _check_own_ledger(self) -> None:
        told = Counter(
            event["message"] for event in self._ledger.values() if event["source"] == "drill"
        )
        for wrote in self._book.of_kind("ledger"):
            times = told.pop(wrote.mark, 0)
            assert times == 1 if wrote.is_done else times <= wrote.was_repeated, wrote
        assert not told
        sent = Counter(
            wrote.about
            for wrote in self._book.of_kind("delivery")
            if wrote.is_done and wrote.answer["allowed"]
        )
        assert set(sent.values()) <= {1}
        kept = listed(self._client, "/ledger/deliveries?channel=drill")
        assert Counter(each["dedupe_key"] for each in kept) == sent
        for workspace_id in WORKSPACES:
            verified = self._client.get(f"/ledger/verify?workspace_id={workspace_id}")
            assert verified["ok"], verified
