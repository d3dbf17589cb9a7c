"""Tasks as the ledger knows them: where each stands, and who went quiet."""

from __future__ import annotations

from typing import Final

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.errors import InvalidCursor
from tickets.ledger.domain import records
from tickets.ledger.domain.documents import LedgerTasksQuery, StaleQuery
from tickets.ledger.domain.records import (
    LedgerSnapshot,
    LedgerTask,
    Rebuilt,
    StaleLedgerTasks,
    Verified,
)
from tickets.ledger.operations.refusals import translated
from tickets.ledger.operations.store import TxStore, snapshot_of
from tickets.ledger.operations.visibility import sees, visible
from tickets.sqlite_task_ledger import rebuilding, rules
from tickets.sqlite_task_ledger.events import is_req
from tickets.sqlite_task_ledger.staleness import DEFAULT_THRESHOLDS_MS, effective_thresholds
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE
from tickets.web.pages import Page, make_page

# Behind every character that a req may hold.
_LAST: Final = "\U0010ffff"


class LedgerTaskOperations:
    """Reads of snapshots, and their repair. ``scope`` is the workspace that a client names."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def get(self, req: str, *, scope: str | None) -> LedgerTask:
        """Return where a req stands. Raises TaskNotFound."""
        with self._db.read() as tx:
            snapshot = visible(tx, req, scope=scope)
        return records.task(snapshot, DEFAULT_MACHINE.successors(snapshot.state))

    def list_by_req(
        self, query: LedgerTasksQuery, *, scope: str | None
    ) -> Page[LedgerSnapshot]:
        """Return a page of snapshots. Raises InvalidState, InvalidCursor."""
        if query.cursor is not None and not is_req(query.cursor):
            raise InvalidCursor
        prefix = query.prefix or ""
        states = _states(query.state)
        with self._db.read() as tx:
            found = tx.many(
                "task_state_snapshot.page",
                after_req=query.cursor or "",
                from_req=prefix,
                end_req=prefix + _LAST,
                scope=scope,
                states=f",{','.join(states)}," if states else "",
                is_terminal=None if query.terminal is None else int(query.terminal == "true"),
                source=query.source,
                actor=query.actor,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=lambda row: records.snapshot(snapshot_of(row)),
            cursor=lambda row: str(row["req"]),
        )

    def find_stale(self, query: StaleQuery, *, scope: str | None) -> StaleLedgerTasks:
        """Return the open tasks that went quiet, the most overdue first.

        Raises InvalidState.
        """
        with translated():
            given = {
                state: query.threshold_ms for state in DEFAULT_MACHINE.open
                if query.threshold_ms is not None
            }  # fmt: skip
            for state in DEFAULT_MACHINE.open:
                own_ms = getattr(query, f"{state.lower()}_ms")
                if own_ms is not None:
                    given[state] = own_ms
            thresholds = effective_thresholds(DEFAULT_MACHINE, DEFAULT_THRESHOLDS_MS, given)
        states = _states(query.state)
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            found = rules.find_stale(
                TxStore(tx, scope=scope),
                thresholds,
                states=tuple(states or DEFAULT_MACHINE.open),
                now_ms=now_ms,
                limit=query.limit,
            )
        return StaleLedgerTasks(
            items=[records.stale(each) for each in found],
            next_cursor=None,
            now_ms=now_ms,
            thresholds=thresholds,
        )

    def verify(self, *, scope: str | None) -> Verified:
        """Compare every snapshot with the events of its req."""
        with self._db.read() as tx:
            differing = rebuilding.verify(TxStore(tx), sees=sees(scope))
        return Verified(ok=not differing, differing=differing)

    def rebuild(self, *, scope: str | None) -> Rebuilt:
        """Mend every snapshot; nobody writes to the ledger meanwhile."""
        with self._db.write() as tx:
            tx.hold("task_state_snapshot.lock_all")
            report = rebuilding.rebuild(TxStore(tx), sees=sees(scope))
        return Rebuilt(**report._asdict())


def _states(words: str | None) -> list[str]:
    """Return the states of a list between commas, each once. Raises InvalidState."""
    if words is None:
        return []
    with translated():
        return list(dict.fromkeys(map(DEFAULT_MACHINE.canonical, words.split(","))))
