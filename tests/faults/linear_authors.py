"""People whose tickets are mirrored in Linear."""

from __future__ import annotations

from typing import Any

from tests.factories import Json
from tests.faults.ticket_book import Player, Wrote, some

WORKSPACE = "w0"
PRIORITIES = ("low", "medium", "high", "critical")
LABELS = ("bug", "idea", "Chore")
# A ticket that is sent more than ten times in a minute would have to rest.
MOST_WRITES = 7
DALLY_MS = 150
WAYS = {
    "open": {"in_progress": 6, "cancelled": 1},
    "in_progress": {"blocked": 3, "done": 3, "failed": 1, "cancelled": 1},
    "blocked": {"in_progress": 6, "cancelled": 1},
}


class Author(Player):
    """Somebody who has tickets of their own, and tells of each how it goes on."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._statuses: dict[str, str] = {}
        self._writes: dict[str, int] = {}

    def act(self) -> None:
        """Do one thing to one of the tickets."""
        known = [each for each, count in self._writes.items() if count < MOST_WRITES]
        if len(known) < 3:
            self._create(known)
        else:
            ticket_id = self.chance.choice(known)
            self._writes[ticket_id] += 1
            act = some(
                self.chance,
                {self._patch: 4, self._move: 3, self._comment: 3, self._link: 2},
            )
            act(ticket_id)
        self.dally(DALLY_MS)

    def _send(self, kind: str, method: str, path: str, body: Json, **more: Any) -> Wrote:
        asked = f"/tickets{path}?workspace_id={WORKSPACE}"
        wrote = self.write(kind, method, asked, body, **more)
        assert wrote.is_done or kind == "link", wrote
        return wrote

    def _words(self, mark: str) -> Json:
        return {
            "title": mark,
            "description": f"What {mark} is about",
            "priority": self.chance.choice(PRIORITIES),
            "labels": self.chance.sample(LABELS, self.chance.randrange(3)),
        }

    def _create(self, known: list[str]) -> None:
        mark = self.mark()
        body = {**self._words(mark), "provider": "linear"}
        if known and self.chance.random() < 0.3:
            body["parent_ticket_id"] = self.chance.choice(known)
        made = self._send("create", "POST", "", body, mark=mark)
        ticket_id = made.answer["id"]
        self._statuses[ticket_id], self._writes[ticket_id] = "open", 1
        self.book.tickets[WORKSPACE].append(ticket_id)

    def _patch(self, ticket_id: str) -> None:
        mark = self.mark()
        words = self._words(mark)
        body = {"title": mark, **dict(self.chance.sample(sorted(words.items()), 2))}
        self._send("patch", "PATCH", f"/{ticket_id}", body, mark=mark, about=ticket_id)

    def _move(self, ticket_id: str) -> None:
        status = self._statuses[ticket_id]
        if status not in WAYS:
            self._comment(ticket_id)
            return
        mark, to = self.mark(), some(self.chance, WAYS[status])
        body: Json = {"to": to}
        if (status, to) == ("open", "in_progress"):
            body["external"] = True
        elif to == "blocked":
            body["reason"] = mark
        elif to == "failed":
            body["error_message"] = mark
        path = f"/{ticket_id}/transition"
        self._send("move", "POST", path, body, mark=mark, about=ticket_id)
        self._statuses[ticket_id] = to

    def _comment(self, ticket_id: str) -> None:
        mark = self.mark()
        path = f"/{ticket_id}/comments"
        self._send("comment", "POST", path, {"body": mark}, mark=mark, about=ticket_id)

    def _link(self, ticket_id: str) -> None:
        """Link it with a ticket of anybody's, and perhaps take that back."""
        other = self.chance.choice(self.book.tickets[WORKSPACE])
        if other == ticket_id:
            return
        # What blocks a ticket would keep it from going on.
        body = {"type": "relatesTo", "target_ticket_id": other}
        path = f"/{ticket_id}/links"
        made = self._send("link", "POST", path, body, mark=self.mark(), about=ticket_id)
        if made.is_done and self.chance.random() < 0.3:
            path = f"{path}/{made.answer['id']}?workspace_id={WORKSPACE}"
            self.write(
                "unlink", "DELETE", f"/tickets{path}", None, mark=self.mark(), about=ticket_id
            )
