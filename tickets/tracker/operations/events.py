"""Events: what an agent tells of its run while it works."""

from __future__ import annotations

from collections.abc import Sequence

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.errors import NotFound, ReservedEventKind
from tickets.tracker.domain.documents import NewEvent, PageQuery
from tickets.tracker.domain.records import Event
from tickets.tracker.operations import rows
from tickets.tracker.operations.access import (
    check_run_reader,
    check_task_reader,
    lease_of_run,
)
from tickets.tracker.operations.facts import record
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_id_cursor

SYSTEM_KINDS = frozenset(
    {"transition", "retry_scheduled", "dead_letter", "lease_expired", "released"}
)


class EventOperations:
    """Everything a client can ask of events."""

    def __init__(self, db: Database, clock: Clock, managers: Managers, feed: TaskFeed) -> None:
        self._db = db
        self._clock = clock
        self._managers = managers
        self._feed = feed

    def append(
        self, run_id: str, events: Sequence[NewEvent], *, holder: bytes | None
    ) -> list[int]:
        """Add events to a run, all or none; return their ids.

        Run, task and lease stay as they are. Raises NotFound, Unauthorized, LeaseExpired,
        then ReservedEventKind.
        """
        written = [to_json({} if event.data is None else event.data) for event in events]
        with self._db.write() as tx:
            lease, now_ms = lease_of_run(tx, run_id, holder=holder, clock=self._clock)
            manager = self._managers.of(lease)
            # Before its ticket's, as a heartbeat does, so that neither waits for the other.
            self._feed.alive(
                tx, lease["task_id"], since_ms=lease["granted_at_ms"], now_ms=now_ms
            )
            ids: list[int] = []
            for event, data_json in zip(events, written, strict=True):
                if event.kind in SYSTEM_KINDS:
                    raise ReservedEventKind(
                        f"The event kind {event.kind!r} is written by the service only"
                    )
                event_id: int = tx.value(
                    "events.append",
                    run_id=run_id,
                    now_ms=now_ms,
                    kind=event.kind,
                    origin="agent",
                    data_json=data_json,
                )
                ids.append(event_id)
                record(
                    tx,
                    "run.event",
                    now_ms=now_ms,
                    task_id=lease["task_id"],
                    run_id=run_id,
                    event_id=event_id,
                    kind=event.kind,
                )
                if manager is not None:
                    manager.on_event(
                        tx,
                        lease["task_id"],
                        run_id=run_id,
                        kind=event.kind,
                        data=event.data,
                        now_ms=now_ms,
                    )
            if manager is not None:
                manager.on_alive(tx, lease["task_id"], now_ms=now_ms)
            return ids

    def list_of_run(
        self, run_id: str, query: PageQuery, *, reader: bytes | None
    ) -> Page[Event]:
        """Return a page of a run's events. Raises NotFound, InvalidCursor, Unauthorized."""
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            check_run_reader(tx, run_id, reader=reader, now_ms=self._clock.now_ms())
            if tx.value("runs.task_of", run_id=run_id) is None:
                raise NotFound("No run has this id")
            found = tx.many(
                "events.page_of_run", run_id=run_id, after_id=after_id, limit=query.limit + 1
            )
        return make_page(
            found, limit=query.limit, make=rows.event, cursor=lambda row: str(row["id"])
        )

    def list_of_task(
        self, task_id: str, query: PageQuery, *, reader: bytes | None
    ) -> Page[Event]:
        """Return a page of the events of all runs of a task, by id.

        Raises NotFound, InvalidCursor, Unauthorized.
        """
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            check_task_reader(tx, task_id, reader=reader, now_ms=self._clock.now_ms())
            if tx.value("tasks.seq_of", task_id=task_id) is None:
                raise NotFound("No task has this id")
            found = tx.many(
                "events.page_of_task",
                task_id=task_id,
                after_id=after_id,
                limit=query.limit + 1,
            )
        return make_page(
            found, limit=query.limit, make=rows.event, cursor=lambda row: str(row["id"])
        )
