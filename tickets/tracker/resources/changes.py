"""``/changes``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import ChangesPruned, InvalidCursor, InvalidLimit
from tickets.tracker.domain.documents import ChangesQuery
from tickets.tracker.domain.records import Changes
from tickets.tracker.operations.changes import ChangeOperations
from tickets.tracker.operations.facts import CHANGES_TOPIC
from tickets.web.endpoint import endpoint
from tickets.web.waiting import Waiting


class ChangeCollection:
    """HTTP for the change feed."""

    def __init__(self, changes: ChangeOperations, waiting: Waiting) -> None:
        self._changes = changes
        self._waiting = waiting

    @endpoint(
        "Follow the feed of all changes",
        query=ChangesQuery,
        answer=Changes,
        errors=(InvalidLimit, InvalidCursor, ChangesPruned),
    )
    def on_get(self, _req: Request, _resp: Response, query: ChangesQuery) -> Changes:
        """``GET /changes?after=&kind=&wait_ms=&limit=`` → 200 part of the feed.

        ``cursor`` is the same as ``after``.
        """
        return self._waiting.until(
            lambda: self._changes.list_after(query),
            is_enough=lambda changes: bool(changes.items),
            topics=[CHANGES_TOPIC],
            wait_ms=query.wait_ms,
            all_woken=True,
        )
