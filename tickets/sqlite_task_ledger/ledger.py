"""The ledger as a library: one object for one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from . import rebuilding, rules
from .deliveries import Decision, Delivery, Message
from .errors import InvalidEventError, LedgerError, SchemaError
from .events import MAX_NAME, Event, StatusEvent, WriteResult, check_int, check_text
from .rebuilding import RebuildReport
from .snapshots import Snapshot
from .sqlite_store import SCHEMA_PATH, SqliteStore
from .staleness import (
    StaleTask,
    SweepReport,
    Thresholds,
    default_thresholds,
    effective_thresholds,
    named_durations,
)
from .states import DEFAULT_MACHINE, StateMachine
from .sweeping import swept

BUSY_TIMEOUT_MS: Final = 5_000
MAX_EVENTS: Final = 1_000
_SAVEPOINT: Final = "task_ledger"
_PAUSE_S: Final = 0.01


def system_clock() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Ledger:
    """A ledger in one SQLite file, for any number of threads and processes.

    ``clock`` returns Unix milliseconds. ``thresholds`` replace the defaults state by state.
    """

    def __init__(
        self,
        path: str | Path | sqlite3.Connection,
        *,
        clock: Callable[[], int] | None = None,
        machine: StateMachine | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._clock = clock if clock is not None else system_clock
        self._machine = machine if machine is not None else DEFAULT_MACHINE
        self._thresholds = effective_thresholds(
            self._machine, default_thresholds(self._machine), thresholds
        )
        self._lock = threading.RLock()
        self._is_checked = False
        self._is_ours = not isinstance(path, sqlite3.Connection)
        self._connection = path if isinstance(path, sqlite3.Connection) else _opened(path)
        self._store = SqliteStore(self._connection)

    @classmethod
    def from_connection(
        cls,
        conn: sqlite3.Connection,
        *,
        clock: Callable[[], int] | None = None,
        machine: StateMachine | None = None,
        thresholds: Thresholds | None = None,
    ) -> Self:
        """Return a ledger on a caller's connection.

        Inside a transaction that is open it writes in savepoints and never commits. The
        connection stays the caller's, settings and closing included.
        """
        return cls(conn, clock=clock, machine=machine, thresholds=thresholds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless a second time."""
        with self._lock:
            if self._is_ours:
                self._connection.close()

    def init_schema(self, sql: str | None = None) -> None:
        """Create what is missing, from the given text or the packaged schema.

        Raises SchemaError where tables or columns are missing afterwards; then nothing of the
        text is left.
        """
        schema = SCHEMA_PATH.read_text(encoding="utf-8") if sql is None else sql
        with self._lock, self._transaction():
            try:
                self._store.apply(schema)
            except sqlite3.Error as error:
                raise SchemaError(f"the schema does not work: {error}") from error
            self._store.check_schema()
            self._is_checked = True

    def write_event(self, ev: StatusEvent) -> WriteResult:
        """Append an event, or find that it is stored already: then nothing is written."""
        with self._writing() as store:
            return rules.write_event(store, ev, now_ms=self._clock(), machine=self._machine)

    def write_events(self, events: Iterable[StatusEvent]) -> list[WriteResult]:
        """Append all events in order or none; the error of a refused one has its ``index``."""
        events = list(events)
        if len(events) > MAX_EVENTS:
            raise InvalidEventError("events", f"are more than {MAX_EVENTS}")
        results: list[WriteResult] = []
        with self._writing() as store:
            now_ms = self._clock()
            for index, event in enumerate(events):
                try:
                    results.append(
                        rules.write_event(store, event, now_ms=now_ms, machine=self._machine)
                    )
                except LedgerError as error:
                    error.index = index
                    raise
        return results

    def touch(
        self,
        req: str,
        actor: str,
        source: str,
        stage: str | None = None,
        message: str | None = None,
    ) -> WriteResult:
        """Report that a task is still in the open state that it is in."""
        with self._writing() as store:
            return rules.touch(
                store,
                req,
                actor=actor,
                source=source,
                stage=stage,
                message=message,
                now_ms=self._clock(),
                machine=self._machine,
            )

    def get_snapshot(self, req: str) -> Snapshot | None:
        """Return where a req stands, None where it has no event."""
        with self._reading() as store:
            return store.snapshot(req)

    def current_state(self, req: str) -> str | None:
        """Return the state of a req, None where it has no event."""
        snapshot = self.get_snapshot(req)
        return None if snapshot is None else snapshot.state

    def is_terminal(self, req: str) -> bool:
        """Tell whether a req has ended."""
        snapshot = self.get_snapshot(req)
        return snapshot is not None and snapshot.is_terminal

    def list_tasks(
        self,
        state: str | Iterable[str] | None = None,
        terminal: bool | None = None,  # noqa: FBT001  # a filter among filters
        source: str | None = None,
        actor: str | None = None,
        prefix: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[Snapshot]:
        """Return snapshots by ``req``, those behind ``after``."""
        words = [state] if isinstance(state, str) else list(state or ())
        states = [self._machine.canonical(word) for word in words]
        with self._reading() as store:
            return store.snapshots(
                "snapshots_after",
                states=f",{','.join(states)}," if states else "",
                is_terminal=terminal,
                source=source,
                actor=actor,
                prefix=prefix or "",
                after=after or "",
                limit=_limit(limit),
            )

    def list_events(
        self, req: str | None = None, after_seq: int = 0, limit: int = 50
    ) -> list[Event]:
        """Return events by ``seq``, of one req or of all."""
        with self._reading() as store:
            if req is None:
                return store.events("events_after", after_seq=after_seq, limit=_limit(limit))
            return store.events(
                "events_of_req_after", req=req, after_seq=after_seq, limit=_limit(limit)
            )

    def allowed_next(self, req: str) -> list[str]:
        """Return the states that the next event of a req may have."""
        return list(self._machine.successors(self.current_state(req)))

    def find_stale(
        self,
        thresholds: Thresholds | None = None,
        states: Iterable[str] | None = None,
        now_ms: int | None = None,
        limit: int = 100,
    ) -> list[StaleTask]:
        """Return the open tasks that went quiet, the most overdue first."""
        effective = effective_thresholds(self._machine, self._thresholds, thresholds)
        words = self._machine.open if states is None else states
        with self._reading() as store:
            return rules.find_stale(
                store,
                effective,
                states=tuple(dict.fromkeys(map(self._machine.canonical, words))),
                now_ms=self._clock() if now_ms is None else now_ms,
                limit=_limit(limit),
            )

    def sweep(
        self,
        thresholds: Thresholds | None = None,
        timeouts: Thresholds | None = None,
        actor: str = "watchdog",
        mark: bool = True,  # noqa: FBT001, FBT002  # as it is called everywhere
        limit: int = 1000,
    ) -> SweepReport:
        """Write STALE for tasks that went quiet and TIMEOUT for those that take too long.

        A task that is heard of between the look and the write is left alone.
        """
        check_text("actor", actor, MAX_NAME)
        with self._reading() as store:
            found = rules.find_overdue(
                store,
                effective_thresholds(self._machine, self._thresholds, thresholds),
                named_durations(self._machine, "timeouts", timeouts),
                now_ms=self._clock(),
                limit=_limit(limit),
                machine=self._machine,
            )
        return swept(
            found,
            self._writing,
            clock=self._clock,
            actor=actor,
            mark=mark,
            machine=self._machine,
        )

    def try_deliver(
        self,
        channel: str,
        dedupe_key: str | None = None,
        *,
        req: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        cooldown_ms: int | None = None,
        req_cooldown_ms: int | None = None,
        payload_hash: str | None = None,
        dry_run: bool = False,
    ) -> Decision:
        """Decide whether a message may be sent now, and record that it is."""
        message = Message(
            machine=self._machine,
            channel=channel,
            dedupe_key=dedupe_key,
            req=req,
            state=state,
            stage=stage,
            cooldown_ms=cooldown_ms,
            req_cooldown_ms=req_cooldown_ms,
            payload_hash=payload_hash,
        )
        with self._writing() as store:
            return rules.deliver(store, message, now_ms=self._clock(), dry_run=dry_run)

    def mark_delivery_failed(self, delivery_id: int) -> bool:
        """Let a delivery not count, because its message was not sent; harmless a second time.

        Tell whether there is a delivery with this id.
        """
        with self._writing() as store:
            return store.run("fail_delivery", id=delivery_id).rowcount > 0

    def list_deliveries(
        self,
        channel: str | None = None,
        req: str | None = None,
        after_id: int = 0,
        limit: int = 50,
    ) -> list[Delivery]:
        """Return deliveries by id."""
        with self._reading() as store:
            return store.deliveries(
                "deliveries_after",
                channel=channel,
                req=req,
                after_id=after_id,
                limit=_limit(limit),
            )

    def purge_deliveries(self, before_ms: int, channel: str | None = None) -> int:
        """Delete deliveries from before a moment; return how many. They count as never sent."""
        with self._writing() as store:
            return store.run("purge_deliveries", before_ms=before_ms, channel=channel).rowcount

    def rebuild_snapshot(self) -> RebuildReport:
        """Fold all events anew and mend every snapshot that is not what they fold to."""
        with self._writing() as store:
            return rebuilding.rebuild(store)

    def verify_snapshot(self) -> list[str]:
        """Return the reqs whose snapshot is not what their events fold to."""
        with self._reading() as store:
            return rebuilding.verify(store)

    @contextmanager
    def _writing(self) -> Iterator[SqliteStore]:
        with self._lock, self._transaction():
            self._check()
            yield self._store

    @contextmanager
    def _reading(self) -> Iterator[SqliteStore]:
        """Give one view of the database, also for several statements."""
        with self._lock, self._transaction(begin="BEGIN"):
            self._check()
            yield self._store

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        """Begin and end a transaction, or only a savepoint of the caller's."""
        run = self._connection.execute
        if self._connection.in_transaction:
            begin, done = f"SAVEPOINT {_SAVEPOINT}", f"RELEASE {_SAVEPOINT}"
            undo = [f"ROLLBACK TO {_SAVEPOINT}", done]
        else:
            done, undo = "COMMIT", ["ROLLBACK"]
        run(begin)
        try:
            yield
            run(done)
        except BaseException:
            if self._connection.in_transaction:
                for statement in undo:
                    run(statement)
            raise

    def _check(self) -> None:
        if not self._is_checked:
            self._store.check_schema()
            self._is_checked = True


def _opened(path: str | Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        str(path),
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            # Two that open a new file at once: SQLite does not wait for this lock by itself.
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_PAUSE_S)
    connection.execute("PRAGMA foreign_keys = ON")


def _limit(limit: int) -> int:
    return check_int("limit", limit, least=1)
