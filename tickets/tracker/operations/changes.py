"""Changes: the durable feed of every fact."""

from __future__ import annotations

from tickets.db.database import Database, Row, Transaction
from tickets.errors import ChangesPruned, InvalidCursor
from tickets.tracker.domain.documents import ChangesQuery
from tickets.tracker.domain.records import Change, Changes, Json
from tickets.web.pages import parse_id_cursor

PRUNED_TO_MARK = "changes_pruned_to"


class ChangeOperations:
    """Reads of the feed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list_after(self, query: ChangesQuery) -> Changes:
        """Return the next part of the feed and the cursor that continues it.

        Without ``after`` the feed begins with the oldest change kept. Raises InvalidCursor,
        ChangesPruned where changes after the cursor are gone.
        """
        # Of two names for one thing the first counts; both must be readable.
        given = [
            max(0, parse_id_cursor(each))
            for each in (query.after, query.cursor)
            if each is not None
        ]
        after_id = given[0] if given else None
        with self._db.read() as tx:
            extent = tx.one("changes.extent")
            assert extent is not None, "a row of aggregates"
        # In another view, which is newer than all that the extent says is there.
        with self._db.read() as tx:
            pruned_to = tx.value("marks.value", name=PRUNED_TO_MARK) or 0
            if after_id is not None and after_id < pruned_to:
                raise ChangesPruned
            start = max(after_id or 0, pruned_to)
            upto_id = extent["upto_id"]
            if start > max(extent["newest_id"], pruned_to):
                raise InvalidCursor(
                    "The cursor is newer than the newest change; was the database restored?"
                )
            found = _page(tx, query, after_id=start, upto_id=upto_id, limit=query.limit)
            next_id = found[-1]["id"] if found else start
            if query.kind is not None and len(found) < query.limit:
                # Everything up to there was looked at, whatever the filter kept.
                next_id = max(next_id, tx.value("changes.newest_upto", upto_id=upto_id))
        if next_id > start:
            # A cursor must not be ahead of the feed after a power cut.
            self._db.sync()
        return Changes(
            items=[
                Change(
                    id=row["id"],
                    ts_ms=row["ts_ms"],
                    kind=row["kind"],
                    task_id=row["task_id"],
                    run_id=row["run_id"],
                    data=Json(row["data_json"].encode()),
                )
                for row in found
            ],
            next_cursor=str(next_id),
        )


def _page(tx: Transaction, query: ChangesQuery, **position: int) -> list[Row]:
    if query.kind is not None:
        return tx.many("changes.page_by_kind", kind=query.kind, **position)
    return tx.many("changes.page", **position)
