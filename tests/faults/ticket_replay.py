"""Tickets as their events tell them, one after the other, and what the ledger makes of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from tests.factories import Json
from tests.tickets import EVENT_ORDER
from tests.worlds import World
from tickets.lifecycle.domain.state import PRIORITIES

STATES = {
    "in_progress": "RUNNING",
    "blocked": "BLOCKED",
    "done": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
TERMINAL = ("done", "failed", "cancelled")


class Replay:
    """A ticket that is nothing but its events."""

    def __init__(self, events: Iterable[Json]) -> None:
        self.now: Json = {}
        self.links: dict[str, Json] = {}
        # What the ledger is told: state, version and actor.
        self.told: list[tuple[str, int, str]] = []
        last_id = 0
        for version, group in groupby(events, key=lambda event: event["version"]):
            assert version == self.now.get("version", 0) + 1, (version, self.now)
            self.now["version"] = version
            types = []
            for event in group:
                assert event["id"] > last_id
                assert event["caused_by"] is None or event["caused_by"] < event["id"]
                last_id = event["id"]
                types.append(event["type"])
                getattr(self, f"_{event['type']}")(event, event["data"])
            assert types == sorted(set(types), key=EVENT_ORDER.index), types

    def _tell(self, state: str, event: Json) -> None:
        self.told.append((state, event["version"], event["actor"]))

    def _change(self, name: str, before: Any, after: Any) -> None:
        assert self.now.get(name) == before, (name, before, self.now)
        self.now[name] = after

    def _TicketCreated(self, event: Json, data: Json) -> None:  # named by the event
        assert event["version"] == 1
        self.now |= {name: data[name] for name in ("title", "status", "priority", "labels")}
        self.now["parent_ticket_id"] = data["parent_ticket_id"]
        self.now |= {"assigned_agent_id": None, "output_json": None, "error_message": None}
        self._tell("RECEIVED", event)

    def _TicketDetailsUpdated(self, _event: Json, data: Json) -> None:
        for name, change in data["changed"].items():
            if name == "labels":
                kept = [x for x in self.now["labels"] if x not in change["removed"]]
                self.now["labels"] = [*kept, *change["added"]]
            elif name == "links":
                for link in change["removed"]:
                    assert self.links.pop(link["id"]) == link
                for link in change["added"]:
                    assert link["id"] not in self.links
                    self.links[link["id"]] = link
            elif name in self.now:
                self._change(name, change["from"], change["to"])

    def _TicketAssigned(self, event: Json, data: Json) -> None:
        self._change("assigned_agent_id", None, data["agent_id"])
        is_first = all(state != "QUEUED" for state, _, _ in self.told)
        if is_first and self.now["status"] == "open":
            self._tell("QUEUED", event)

    def _TicketReassigned(self, _event: Json, data: Json) -> None:
        assert data["from_agent_id"] != data["to_agent_id"]
        self._change("assigned_agent_id", data["from_agent_id"], data["to_agent_id"])

    def _TicketDelegated(self, _event: Json, data: Json) -> None:
        assert self.now["assigned_agent_id"] == data["to_agent_id"]

    def _TicketCollaboratorAdded(self, _event: Json, data: Json) -> None:
        assert data["collaborator_id"]

    def _TicketStarted(self, _event: Json, data: Json) -> None:
        assert self.now["status"] == "open"
        assert (data["task_id"] is None) == data["external"]

    def _TicketCompleted(self, _event: Json, data: Json) -> None:
        self.now["output_json"] = data["output_json"]

    def _TicketFailed(self, _event: Json, data: Json) -> None:
        self.now["error_message"] = data["error_message"]

    def _TicketCancelled(self, _event: Json, data: Json) -> None:
        assert self.now["status"] == data["from"]

    def _TicketStatusChanged(self, event: Json, data: Json) -> None:
        self._change("status", data["from"], data["to"])
        assert data["from"] not in TERMINAL
        self._tell(STATES[data["to"]], event)


def replays(events: Iterable[Json]) -> dict[str, Replay]:
    """Return every ticket that these events tell of."""
    by_ticket: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        by_ticket[event["ticket_id"]].append(event)
    return {ticket_id: Replay(found) for ticket_id, found in by_ticket.items()}


def stored_events(world: World) -> list[Json]:
    """Return all events of tickets as they are stored."""
    names = ("id", "ticket_id", "type", "version", "actor", "caused_by", "data")
    rows = world.query(
        "SELECT id, ticket_id, type, version, actor, caused_by, data_json"
        " FROM ticket_events ORDER BY id"
    )
    return [dict(zip(names, (*row[:-1], json.loads(row[-1])), strict=True)) for row in rows]


def check_tickets_told(world: World) -> int:
    """Compare stored tickets and the ledger with the events; return how many there are."""
    found = replays(stored_events(world))
    rows = world.query(
        "SELECT id, workspace_id, title, status, priority, assigned_agent_id, parent_ticket_id,"
        " error_message, version FROM tickets"
    )
    assert {row[0] for row in rows} == set(found)
    told: dict[str, list[Any]] = defaultdict(list)
    for req, state, actor, event_id, scope, n in world.query(
        "SELECT req, state, actor, event_id, scope, n FROM task_events"
        " WHERE source = 'tickets' ORDER BY seq"
    ):
        told[req].append((state, actor, event_id, scope))
        assert len(told[req]) == n, req
    for id_, workspace_id, title, status, priority, agent_id, parent_id, error, version in rows:
        now, req = found[id_].now, f"ticket:{id_}"
        shown = {
            "title": title,
            "status": status,
            "priority": PRIORITIES[priority - 1],
            "assigned_agent_id": agent_id,
            "parent_ticket_id": parent_id,
            "error_message": error,
            "version": version,
        }
        assert {name: now[name] for name in shown} == shown, id_
        assert told[req] == [
            (state, actor, f"{req}:v{version}:{state}", workspace_id)
            for state, version, actor in found[id_].told
        ], id_
    return len(rows)
