"""People who make tickets, change, link and move them, at random."""

from __future__ import annotations

from typing import Any

from tests.factories import Json
from tests.faults.ticket_book import ROLES, WORKSPACES, Player, Wrote, some

SCHEMA: Json = {"type": "object", "required": ["mark"]}
PRIORITIES = ("low", "medium", "high", "critical")
# Of tickets of a workspace, those at the end of its list: others have mostly ended.
RECENT = 12
# How often somebody moves a ticket without having looked at it.
HASTE = 0.3
# To which statuses people move a ticket, by the one that they have seen.
ANYWHERE = {"in_progress": 5, "blocked": 4, "cancelled": 1, "done": 1, "failed": 1}
WAYS = {
    "open": {"in_progress": 9, "cancelled": 1},
    "in_progress": {"blocked": 6, "done": 2, "failed": 1, "cancelled": 1},
    "blocked": {"in_progress": 9, "cancelled": 1},
}


class Person(Player):
    """Somebody who looks after the tickets of both workspaces.

    The mark of a request is the name under which it acts, so that each event shows which
    request has caused it.
    """

    def act(self) -> None:
        """Do one thing to one ticket."""
        workspace_id = self.chance.choice(WORKSPACES)
        known = self.book.tickets[workspace_id]
        if len(known) < 3:
            self._create(workspace_id)
            return
        act = some(
            self.chance,
            {
                self._create: 6,
                self._patch: 3,
                self._assign: 4,
                self._move: 8,
                self._link: 3,
                self._unlink: 1,
                self._comment: 3,
                self._label: 1,
                self._collaborate: 1,
                self._delegate: 1,
                self._ask: 2,
                self._rule: 1,
            },
        )
        act(workspace_id)
        self.dally(10)

    def _ticket(self, workspace_id: str) -> str:
        return self.chance.choice(self.book.tickets[workspace_id][-RECENT:])

    def _agent(self, workspace_id: str) -> str:
        return f"{workspace_id}-{self.chance.choice(list(ROLES))}"

    def _on(
        self, workspace_id: str, kind: str, path: str, body: Json | None, **more: Any
    ) -> Wrote:
        """Write to a ticket under a new name."""
        mark = more.pop("mark", None) or self.mark()
        ticket_id = more.pop("ticket_id", None) or self._ticket(workspace_id)
        return self.write(
            kind,
            more.pop("method", "POST"),
            f"/tickets/{ticket_id}{path}?workspace_id={workspace_id}",
            body,
            mark=mark,
            about=ticket_id,
            headers={"X-Actor": f"user:{mark}"},
        )

    def _create(self, workspace_id: str) -> None:
        mark, chance = self.mark(), self.chance
        body: Json = {
            "title": mark,
            # It never changes, unlike the title.
            "pipeline_run_id": mark,
            "priority": chance.choice(PRIORITIES),
            "labels": [f"of {self.name}"],
            "dispatch": self._dispatch(),
        }
        if chance.random() < 0.7:
            body["assigned_agent_id"] = self._agent(workspace_id)
        if chance.random() < 0.2:
            body["expected_output_schema"] = SCHEMA
        if self.book.tickets[workspace_id] and chance.random() < 0.2:
            body["parent_ticket_id"] = self._ticket(workspace_id)
        made = self.write(
            "create",
            "POST",
            f"/tickets?workspace_id={workspace_id}",
            body,
            mark=mark,
            headers={"X-Actor": f"user:{mark}"},
        )
        if made.is_done:
            self.book.tickets[workspace_id].append(made.answer["id"])

    def _dispatch(self) -> Json:
        chance = self.chance
        found: Json = {
            "on_dead_letter": chance.choice(["fail", "block"]),
            "on_invalid_output": chance.choice(["fail", "reject"]),
        }
        if chance.random() < 0.6:
            found["pipeline_id"] = chance.choice(self.book.pipelines)
        if chance.random() < 0.6:
            attempts, delay_ms = chance.choice([1, 2, 3]), chance.choice([0, 20])
            found["retry_policy"] = {"max_attempts": attempts, "retry_delay_ms": delay_ms}
        return found

    def _patch(self, workspace_id: str) -> None:
        mark = self.mark()
        body: Json = {"title": mark, "priority": self.chance.choice(PRIORITIES)}
        if self.chance.random() < 0.2:
            body["parent_ticket_id"] = self.chance.choice([None, self._ticket(workspace_id)])
        self._on(workspace_id, "patch", "", body, mark=mark, method="PATCH")

    def _assign(self, workspace_id: str) -> None:
        if self.chance.random() < 0.15:
            self._on(workspace_id, "unassign", "/unassign", {})
        else:
            body = {"agent_id": self._agent(workspace_id)}
            self._on(workspace_id, "assign", "/assign", body)

    def _delegate(self, workspace_id: str) -> None:
        mark = self.mark()
        agents = [f"{workspace_id}-{name}" for name in ROLES]
        by, to = self.chance.sample(agents, 2)
        body: Json = {"delegated_by_agent_id": by, "agent_id": to}
        if self.chance.random() < 0.5:
            body["child"] = {"title": mark}
        found = self._on(workspace_id, "delegate", "/delegate", body, mark=mark)
        if found.status == 201:
            self.book.tickets[workspace_id].append(found.answer["id"])

    def _move(self, workspace_id: str) -> None:
        ticket_id = self._ticket(workspace_id)
        to = some(self.chance, WAYS.get(self._status(workspace_id, ticket_id), ANYWHERE))
        mark = self.mark()
        body: Json = {"to": to}
        if to == "in_progress" and self.chance.random() < 0.3:
            body["external"] = True
        elif to == "blocked":
            body["reason"] = mark
            if self.chance.random() < 0.4:
                body["blocked_by_ticket_id"] = self._ticket(workspace_id)
        elif to == "cancelled" and self.chance.random() < 0.3:
            body["cascade"] = True
        elif to == "done":
            body["output_json"] = {"mark": mark}
        elif to == "failed":
            body["error_message"] = mark
        if body.get("blocked_by_ticket_id") == ticket_id:
            del body["blocked_by_ticket_id"]
        self._on(workspace_id, "move", "/transition", body, mark=mark, ticket_id=ticket_id)

    def _status(self, workspace_id: str, ticket_id: str) -> str:
        """Look at a ticket first, as most people do."""
        if self.chance.random() < HASTE:
            return ""
        path = f"/tickets/{ticket_id}?workspace_id={workspace_id}"
        return str(self.client.send("GET", path, None).json["status"])

    def _ask(self, workspace_id: str) -> None:
        self._on(workspace_id, "dispatch", "/dispatch", {})

    def _link(self, workspace_id: str) -> None:
        one, other = self._ticket(workspace_id), self._ticket(workspace_id)
        if one == other:
            return
        type_ = some(self.chance, {"blocks": 6, "relatesTo": 2, "duplicateOf": 1})
        body = {"type": type_, "target_ticket_id": other}
        self._on(workspace_id, "link", "/links", body, ticket_id=one)

    def _unlink(self, workspace_id: str) -> None:
        links = [each for each in self.book.of_kind("link") if each.is_done]
        if links:
            link = self.chance.choice(links[-RECENT:])
            path = f"/links/{link.answer['id']}"
            # Perhaps in the other workspace, where it is unknown.
            self._on(workspace_id, "unlink", path, None, method="DELETE", ticket_id=link.about)

    def _comment(self, workspace_id: str) -> None:
        mark = self.mark()
        self._on(workspace_id, "comment", "/comments", {"body": mark}, mark=mark)

    def _label(self, workspace_id: str) -> None:
        mark = self.mark()
        self._on(workspace_id, "label", "/labels", {"labels": [mark]}, mark=mark)

    def _collaborate(self, workspace_id: str) -> None:
        body = {"collaborator_id": self._agent(workspace_id)}
        self._on(workspace_id, "collaborate", "/collaborators", body)

    def _rule(self, workspace_id: str) -> None:
        """Let agents have more or less in hand, or the workspace rest for a moment."""
        place = f"/workspaces/{workspace_id}"
        if self.chance.random() < 0.3:
            for status in ("paused", "active"):
                self.write("rule", "PATCH", place, {"status": status}, mark=self.mark())
                self.dally(50)
            return
        name = self.chance.choice(list(ROLES))
        body = {
            "role": ROLES[name],
            "enabled": self.chance.random() < 0.8,
            "max_active_tickets": self.chance.choice([None, None, 1, 3]),
        }
        path = f"{place}/agents/{workspace_id}-{name}"
        self.write("rule", "PUT", path, body, mark=self.mark())
