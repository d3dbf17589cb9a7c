"""A consumer that follows all feeds through everything, and keeps its cursors."""

from __future__ import annotations

from typing import Any

from tests.factories import Json
from tests.faults.ticket_book import WORKSPACES, Book
from tests.process.clients import Client
from tests.process.crowd import Stubborn

PAGE = 200
REST_S = 0.03
# Where each feed is, how its cursor is named, and what numbers its items.
FEEDS = (
    *((f"/ticket-events?workspace_id={each}", "after_id", "id") for each in WORKSPACES),
    *((f"/ledger/events?workspace_id={each}", "after_seq", "seq") for each in WORKSPACES),
    ("/changes?", "after", "id"),
)


class Follower:
    """Reads one feed after the other, each from where it was."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._client = Stubborn(book.service, "follower")
        self._cursors = {path: "0" for path, _, _ in FEEDS}
        self.found: dict[str, list[int]] = {path: [] for path, _, _ in FEEDS}

    def run(self) -> None:
        """Follow until the drill ends."""
        try:
            while not self._book.ending.wait(REST_S):
                for path, cursor, number in FEEDS:
                    asked = f"{path}&{cursor}={self._cursors[path]}&limit={PAGE}"
                    answer = self._client.send("GET", asked, None)
                    assert answer.status == 200, answer
                    self._take(path, number, answer.json)
        except Exception as error:  # noqa: BLE001 - raised where the clients are waited for
            self._book.failures.append(error)
            self._book.service.give_up()
        finally:
            self._client.close()

    def _take(self, path: str, number: str, page: Any) -> None:
        self.found[path] += [item[number] for item in page["items"]]
        self._cursors[path] = page["next_cursor"]

    def check(self, client: Client) -> dict[str, list[Json]]:
        """Read on to the end; return each feed as it is for one who begins now.

        What was followed is the same.
        """
        whole: dict[str, list[Json]] = {}
        for path, cursor, number in FEEDS:
            whole[path] = list(walked(client, path, cursor))
            rest = walked(client, path, cursor, self._cursors[path])
            found = self.found[path] + [item[number] for item in rest]
            assert found == sorted(set(found)), path
            assert found == [item[number] for item in whole[path]], path
        return whole


def walked(client: Client, path: str, cursor: str, after: str = "0") -> list[Json]:
    """Return the items of a feed behind a cursor."""
    items: list[Json] = []
    while True:
        page = client.get(f"{path}&{cursor}={after}&limit={PAGE}")
        if not page["items"]:
            return items
        items += page["items"]
        after = page["next_cursor"]


def listed(client: Client, path: str) -> list[Json]:
    """Return the items of all pages of a list whose path has a query."""
    items: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{path}&limit={PAGE}" + (f"&cursor={cursor}" if cursor else ""))
        items += page["items"]
        cursor = page["next_cursor"]
    return items
