"""The ledger's tables in a transaction of the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tickets.db.database import ConstraintViolated, Row, Transaction
from tickets.sqlite_task_ledger.deliveries import Delivery
from tickets.sqlite_task_ledger.events import Event
from tickets.sqlite_task_ledger.snapshots import Snapshot
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE

PAGE_ROWS: Final = 1_000
# The number of an event for which nobody asked.
UNKNOWN_SEQ: Final = 0
_OPEN: Final = DEFAULT_MACHINE.open


class TxStore:
    """A Store as one reader sees it; ``scope`` is the workspace that the request names.

    Its ``quiet`` and ``lasting`` know of everything that the reader may see. With ``watched``
    they know of what a watchdog looks at, which is not what the service itself keeps up to
    date; with ``sees_all`` in every scope.
    """

    def __init__(
        self,
        tx: Transaction,
        *,
        scope: str | None = None,
        watched: bool = False,
        sees_all: bool = False,
    ) -> None:
        self._tx = tx
        self._scope = scope
        self._watched = watched
        self._sees_all = int(sees_all)

    def event_by_id(self, event_id: str) -> Event | None:
        """Return the event that was stored under this id."""
        row = self._tx.one("task_events.by_event_id", event_id=event_id)
        return None if row is None else event_of(row)

    def snapshot(self, req: str) -> Snapshot | None:
        """Return where a req stands, which nobody else changes until the transaction ends."""
        row = self._tx.one("task_state_snapshot.get_to_write", req=req)
        return None if row is None else snapshot_of(row)

    def append(self, event: Event, snapshot: Snapshot) -> int:
        """Append an event and keep the snapshot after it; return the event's ``seq``."""
        columns = event._asdict()
        del columns["seq"]
        columns["is_terminal"] = int(event.is_terminal)
        seq: int = self._tx.value("task_events.append", **columns)
        self.put_snapshot(snapshot._replace(last_seq=seq))
        return seq

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot, in the place of any before it."""
        columns = snapshot._asdict()
        columns["is_terminal"] = int(snapshot.is_terminal)
        self._tx.run("task_state_snapshot.put", **columns)

    def drop_snapshot(self, req: str) -> None:
        """Forget a snapshot."""
        self._tx.run("task_state_snapshot.drop", req=req)

    def quiet(self, until_ms: Mapping[str, int], *, limit: int) -> list[Snapshot]:
        """Return open tasks that were last heard of by the moment of their state, or before."""
        found: list[Row] = []
        for state, moment_ms in until_ms.items():
            found += self._tx.many(
                "task_state_snapshot.quiet_watched",
                state=state,
                until_ms=moment_ms,
                limit=limit,
                sees_all=self._sees_all,
                scope=self._scope,
            )
        if not self._watched:
            moments = {f"{state.lower()}_ms": until_ms.get(state) for state in _OPEN}
            found += self._tx.many(
                "task_state_snapshot.quiet_kept", scope=self._scope, limit=limit, **moments
            )
        return [snapshot_of(row) for row in found]

    def lasting(self, state: str, *, until_ms: int, limit: int) -> list[Snapshot]:
        """Return tasks that a watchdog looks at and that have been in a state since then."""
        rows = self._tx.many(
            "task_state_snapshot.lasting_watched",
            state=state,
            until_ms=until_ms,
            limit=limit,
            sees_all=self._sees_all,
            scope=self._scope,
        )
        return [snapshot_of(row) for row in rows]

    def events_in_order(self) -> Iterator[Event]:
        """Yield every event, by ``req`` and then by ``n``."""
        req, n = "", 0
        while True:
            rows = self._tx.many(
                "task_events.page_in_order", after_req=req, after_n=n, limit=PAGE_ROWS
            )
            yield from map(event_of, rows)
            if len(rows) < PAGE_ROWS:
                return
            req, n = rows[-1]["req"], rows[-1]["n"]

    def snapshots_in_order(self) -> Iterator[Snapshot]:
        """Yield every snapshot, by ``req``."""
        req = ""
        while True:
            rows = self._tx.many(
                "task_state_snapshot.page_in_order", after_req=req, limit=PAGE_ROWS
            )
            yield from map(snapshot_of, rows)
            if len(rows) < PAGE_ROWS:
                return
            req = rows[-1]["req"]

    def hold_deliveries(self, channel: str, key: str, req: str | None) -> None:
        """Let nobody else decide on such a message until the transaction ends."""
        if req is not None:
            self._tx.hold("delivery_log.lock", channel=channel, about=f"req {req}")
        self._tx.hold("delivery_log.lock", channel=channel, about=f"key {key}")

    def last_delivery(self, channel: str, key: str) -> Delivery | None:
        """Return the newest delivery under a key that counts."""
        row = self._tx.one("delivery_log.last", channel=channel, key=key)
        return None if row is None else Delivery(**row)

    def last_delivery_of_req(self, channel: str, req: str) -> Delivery | None:
        """Return the newest delivery about a req that counts."""
        row = self._tx.one("delivery_log.last_of_req", channel=channel, req=req)
        return None if row is None else Delivery(**row)

    def add_delivery(self, delivery: Delivery) -> int:
        """Append a delivery, whose ``id`` does not count; return the one that it gets."""
        columns = delivery._asdict()
        del columns["id"]
        id_: int = self._tx.value("delivery_log.add", **columns)
        return id_

    def count_suppressed(self, delivery_id: int, now_ms: int) -> None:
        """Count one more message that a delivery held back."""
        self._tx.run("delivery_log.count_suppressed", delivery_id=delivery_id, now_ms=now_ms)


class FeedStore(TxStore):
    """The same for who needs no number of an event: both tables in one statement."""

    def append(self, event: Event, snapshot: Snapshot) -> int:
        """Append an event and keep the snapshot after it. Raises ConstraintViolated.

        A refusal leaves the transaction as it was.
        """
        taken = self._tx.value(
            "task_facts.add",
            req=event.req,
            n=event.n,
            state=event.state,
            previous_state=event.previous_state,
            is_terminal=int(event.is_terminal),
            actor=event.actor,
            source=event.source,
            stage=event.stage,
            message=event.message,
            data_json=event.data_json,
            event_id=event.event_id,
            scope=event.scope,
            recorded_at_ms=event.recorded_at_ms,
            kept_stage=snapshot.stage,
            kept_data_json=snapshot.data_json,
            first_event_at_ms=snapshot.first_event_at_ms,
            state_entered_at_ms=snapshot.state_entered_at_ms,
            terminal_at_ms=snapshot.terminal_at_ms,
            attempts=snapshot.attempts,
        )
        if not taken:
            raise ConstraintViolated("a constraint refused the event")
        return UNKNOWN_SEQ


def event_of(row: Row) -> Event:
    """Return a stored event."""
    row["is_terminal"] = bool(row["is_terminal"])
    return Event(**row)


def snapshot_of(row: Row) -> Snapshot:
    """Return a stored snapshot."""
    row["is_terminal"] = bool(row["is_terminal"])
    return Snapshot(**row)
