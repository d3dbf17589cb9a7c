"""The three tables in a SQLite database, and its schema."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from .deliveries import Delivery
from .errors import SchemaError
from .events import Event
from .snapshots import Snapshot

_HERE: Final = Path(__file__).parent
SCHEMA_PATH: Final = _HERE / "schema" / "status_schema.sql"
_TABLES: Final = {
    "task_events": Event._fields,
    "task_state_snapshot": Snapshot._fields,
    "delivery_log": Delivery._fields,
}


@cache
def _statements() -> dict[str, str]:
    text = (_HERE / "statements.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


class SqliteStore:
    """One connection as a Store; transactions are the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, name: str, /, **params: object) -> sqlite3.Cursor:
        """Run a statement; its rows are tuples, whatever the connection makes of rows."""
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(_statements()[name], params)

    def events(self, name: str, /, **params: object) -> list[Event]:
        """Return the events that a statement finds."""
        return [_event(row) for row in self.run(name, **params)]

    def snapshots(self, name: str, /, **params: object) -> list[Snapshot]:
        """Return the snapshots that a statement finds."""
        return [_snapshot(row) for row in self.run(name, **params)]

    def deliveries(self, name: str, /, **params: object) -> list[Delivery]:
        """Return the deliveries that a statement finds."""
        return [Delivery(*row) for row in self.run(name, **params)]

    def event_by_id(self, event_id: str) -> Event | None:
        """Return the event that was stored under this id."""
        return next(iter(self.events("event_by_id", event_id=event_id)), None)

    def snapshot(self, req: str) -> Snapshot | None:
        """Return where a req stands: inside a write transaction nobody else changes it."""
        return next(iter(self.snapshots("snapshot", req=req)), None)

    def append(self, event: Event, snapshot: Snapshot) -> int:
        """Append an event and keep the snapshot after it; return the event's ``seq``."""
        values = event._asdict()
        del values["seq"]
        seq = self.run("add_event", **values).lastrowid
        assert seq is not None, "it was inserted"
        self.put_snapshot(snapshot._replace(last_seq=seq))
        return seq

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot, in the place of any before it."""
        self.run("put_snapshot", **snapshot._asdict())

    def drop_snapshot(self, req: str) -> None:
        """Forget a snapshot."""
        self.run("drop_snapshot", req=req)

    def quiet(self, until_ms: Mapping[str, int], *, limit: int) -> list[Snapshot]:
        """Return open tasks that were last heard of by the moment of their state, or before."""
        found: list[Snapshot] = []
        for state, moment_ms in until_ms.items():
            found += self.snapshots("quiet", state=state, until_ms=moment_ms, limit=limit)
        return found

    def lasting(self, state: str, *, until_ms: int, limit: int) -> list[Snapshot]:
        """Return tasks that have been in an open state since then or longer."""
        return self.snapshots("lasting", state=state, until_ms=until_ms, limit=limit)

    def events_in_order(self) -> Iterator[Event]:
        """Yield every event, by ``req`` and then by ``n``."""
        return map(_event, self.run("events_in_order"))

    def snapshots_in_order(self) -> Iterator[Snapshot]:
        """Yield every snapshot, by ``req``."""
        return map(_snapshot, self.run("snapshots_in_order"))

    def hold_deliveries(self, channel: str, key: str, req: str | None) -> None:
        """Do nothing: whoever is in a write transaction is the only writer there is."""

    def last_delivery(self, channel: str, key: str) -> Delivery | None:
        """Return the newest delivery under a key that counts."""
        found = self.deliveries("last_delivery", channel=channel, key=key)
        return found[0] if found else None

    def last_delivery_of_req(self, channel: str, req: str) -> Delivery | None:
        """Return the newest delivery about a req that counts."""
        found = self.deliveries("last_delivery_of_req", channel=channel, req=req)
        return found[0] if found else None

    def add_delivery(self, delivery: Delivery) -> int:
        """Append a delivery, whose ``id`` does not count; return the one that it gets."""
        values = delivery._asdict()
        del values["id"]
        id_ = self.run("add_delivery", **values).lastrowid
        assert id_ is not None, "it was inserted"
        return id_

    def count_suppressed(self, delivery_id: int, now_ms: int) -> None:
        """Count one more message that a delivery held back."""
        self.run("count_suppressed", id=delivery_id, now_ms=now_ms)

    def apply(self, schema: str) -> None:
        """Run the statements of a schema one by one, which leaves a transaction open."""
        for statement in _split(schema):
            self._connection.execute(statement).fetchall()

    def check_schema(self) -> None:
        """Return where every table and column is there. Raises SchemaError."""
        for table, columns in _TABLES.items():
            found = {name for (name,) in self.run("columns", table=table)}
            missing = [column for column in columns if column not in found]
            if not found:
                raise SchemaError(f"there is no table {table}; call init_schema()")
            if missing:
                raise SchemaError(f"{table} lacks {', '.join(missing)}")


def _event(row: tuple[Any, ...]) -> Event:
    event = Event(*row)
    return event._replace(is_terminal=bool(event.is_terminal))


def _snapshot(row: tuple[Any, ...]) -> Snapshot:
    snapshot = Snapshot(*row)
    return snapshot._replace(is_terminal=bool(snapshot.is_terminal))


def _split(script: str) -> Iterator[str]:
    """Yield the statements of a script, triggers whole."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    lines = (line.strip() for line in pending.splitlines())
    if any(line and not line.startswith("--") for line in lines):
        yield pending
