"""The part of an import that belongs to runs: runs, leases, events, gates and artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tickets.db.database import Row, Transaction
from tickets.db.foreign import ForeignDatabase
from tickets.tracker.domain.foreign_values import plain
from tickets.tracker.domain.imports import TOKEN_HASH_BYTES, Translation

STEP_ROWS: Final = 500
RANGE_ROWS: Final = 10_000
RUN_COLUMNS: Final = (
    "id",
    "task_id",
    "attempt",
    "status",
    "agent_id",
    "agent_role",
    "started_at_ms",
    "ended_at_ms",
    "usage_json",
    "error_text",
)
LEASE_COLUMNS: Final = (
    "id",
    "run_id",
    "agent_id",
    "token_hash",
    "expires_at_ms",
    "last_heartbeat_ms",
)
EVENT_COLUMNS: Final = ("id", "run_id", "ts_ms", "kind", "data_json")
GATE_COLUMNS: Final = ("id", "run_id", "gate", "status", "evidence_json", "actor", "ts_ms")
ARTIFACT_COLUMNS: Final = (
    "id",
    "task_id",
    "run_id",
    "created_at_ms",
    "kind",
    "uri",
    "sha256_hex",
    "size_bytes",
    "meta_json",
)


def shift_of(source: ForeignDatabase, table: str, *, highest: int, above: int = 0) -> int:
    """Return what to add to the file's ids of a table so that all lie above ``highest``.

    0 where they do so already, as in an empty database. All ids move together: their order
    is the order of a history, and an id that was in use here is not used again.
    """
    extent = source.extent(table, "id", above=above)
    return 0 if extent is None else max(0, highest + 1 - extent[0])


def ranges(after: int, upto: int) -> Iterator[tuple[int, int]]:
    """Yield a range in parts: what one statement changes is held in memory until its end."""
    for low in range(after, upto, RANGE_ROWS):
        yield low, min(low + RANGE_ROWS, upto)


class ImportPart:
    """One part of an import, in its one transaction: where rows come from and go to."""

    def __init__(
        self,
        tx: Transaction,
        source: ForeignDatabase,
        translation: Translation,
        before: Row,
        now_ms: int,
    ) -> None:
        self._tx = tx
        self._source = source
        self._translation = translation
        self._before = before
        self._now_ms = now_ms
        self.remarks: Counter[str] = Counter()


class History(ImportPart):
    """Adds what tasks went through, for tasks that came in with this import."""

    def add(self) -> dict[str, int]:
        """Add all of it, then what tasks keep of it; return the counts."""
        counts = {
            "runs": self._add_runs(),
            "leases": self._add_leases(),
            "events": self._add_events(),
            "gate_results": self._add_gate_results(),
            "artifacts": self._add_artifacts(),
        }
        for after_seq, upto_seq in ranges(self._before["task_seq"], self._now_at("task_seq")):
            self._tx.run("imports.count_attempts", after_seq=after_seq, upto_seq=upto_seq)
        self._set_dead_letter_origins()
        return counts

    def _add_runs(self) -> int:
        after_task_seq = self._before["task_seq"]
        return self._tx.run_many(
            "imports.add_run",
            (
                {**self._translation.run(row), "after_task_seq": after_task_seq}
                for row in self._source.rows("runs", RUN_COLUMNS)
            ),
        )

    def _add_leases(self) -> int:
        """Let runs go on under their leases, the one that last showed life first.

        A lease whose run does not go on is revoked: its holder learns that it is over.
        """
        after_run_seq = self._before["run_seq"]
        count = 0
        for row in self._source.rows("leases", LEASE_COLUMNS, newest_first="last_heartbeat_ms"):
            token_hash = row["token_hash"]
            if not isinstance(token_hash, bytes) or len(token_hash) != TOKEN_HASH_BYTES:
                self.remarks["leases left out, their token could not be checked"] += 1
                continue
            run_id = plain(row["run_id"])
            self._tx.run("imports.resume_run", run_id=run_id, after_run_seq=after_run_seq)
            run = self._tx.one("imports.new_run", run_id=run_id, after_run_seq=after_run_seq)
            if run is not None:
                lease = self._translation.lease(row, run)
                count += self._tx.run("imports.add_lease", **lease)
        ended = self._tx.run(
            "imports.end_unheld_runs", after_run_seq=after_run_seq, now_ms=self._now_ms
        )
        if ended:
            self.remarks[
                "running runs ended as stale: no lease, or another run holds the task"
            ] += ended
        return count

    def _add_events(self) -> int:
        after_event_id, after_run_seq = self._before["event_id"], self._before["run_seq"]
        shift = shift_of(self._source, "events", highest=after_event_id)
        count = self._tx.run_many(
            "imports.add_event",
            (
                _shifted(self._translation.event(row), shift, after_run_seq=after_run_seq)
                for row in self._source.rows("events", EVENT_COLUMNS)
            ),
        )
        for after_id, upto_id in ranges(after_event_id, self._now_at("event_id")):
            self._tx.run("imports.mark_system_events", after_id=after_id, upto_id=upto_id)
        return count

    def _add_gate_results(self) -> int:
        shift = shift_of(self._source, "gate_results", highest=self._before["gate_id"])
        after_run_seq = self._before["run_seq"]
        return self._tx.run_many(
            "imports.add_gate_result",
            (
                _shifted(self._translation.gate_result(row), shift, after_run_seq=after_run_seq)
                for row in self._source.rows("gate_results", GATE_COLUMNS)
            ),
        )

    def _add_artifacts(self) -> int:
        rows = self._source.rows("artifacts", ARTIFACT_COLUMNS)
        return self._tx.run_many("imports.add_artifact", map(self._translation.artifact, rows))

    def _now_at(self, what: str) -> int:
        highest = self._tx.one("imports.highest")
        assert highest is not None, "a row of aggregates"
        return int(highest[what])

    def _set_dead_letter_origins(self) -> None:
        """Note where dead-lettered tasks were given up, for a requeue."""
        after_event_id: int = self._before["event_id"]
        while rows := self._tx.many(
            "imports.dead_letter_events", after_event_id=after_event_id, limit=STEP_ROWS
        ):
            for row in rows:
                data = msgspec.json.decode(row["data_json"])
                stage = data.get("from_stage") if isinstance(data, dict) else None
                if isinstance(stage, str):
                    self._tx.run(
                        "imports.set_dead_letter_origin", task_id=row["task_id"], stage=stage
                    )
            after_event_id = rows[-1]["id"]


def _shifted(columns: dict[str, Any], shift: int, **more: object) -> dict[str, Any]:
    return {**columns, "id": columns["id"] + shift, **more}
