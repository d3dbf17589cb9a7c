"""Gates: results of quality checks on a run."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row
from tickets.errors import InvalidStatus, NotFound
from tickets.tracker.domain.documents import ArrayQuery, NewGateResult
from tickets.tracker.domain.records import GateResult, Json
from tickets.tracker.operations.access import check_run_reader, lease_of_run
from tickets.tracker.operations.facts import record
from tickets.web.answers import to_json
from tickets.web.pages import cut, parse_id_cursor, rows_wanted


class GateOperations:
    """Everything a client can ask of gate results."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def append(self, run_id: str, document: NewGateResult, *, holder: bytes | None) -> int:
        """Add a result to the run; the newest for a gate is its state. Return its id.

        Raises NotFound, Unauthorized, LeaseExpired, then InvalidStatus.
        """
        evidence_json = to_json({} if document.evidence is None else document.evidence)
        with self._db.write() as tx:
            lease, now_ms = lease_of_run(tx, run_id, holder=holder, clock=self._clock)
            if document.status not in ("pass", "fail"):
                raise InvalidStatus
            result_id: int = tx.value(
                "gates.append",
                run_id=run_id,
                task_id=lease["task_id"],
                gate=document.gate,
                status=document.status,
                evidence_json=evidence_json,
                actor=document.actor,
                now_ms=now_ms,
            )
            record(
                tx,
                "run.gate",
                now_ms=now_ms,
                task_id=lease["task_id"],
                run_id=run_id,
                gate=document.gate,
                status=document.status,
            )
            return result_id

    def list_of_run(
        self, run_id: str, query: ArrayQuery, *, reader: bytes | None
    ) -> tuple[list[GateResult], str | None]:
        """Return the run's results and where the next part begins, if the list was cut.

        Raises NotFound, InvalidCursor, Unauthorized.
        """
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            check_run_reader(tx, run_id, reader=reader, now_ms=self._clock.now_ms())
            if tx.value("runs.task_of", run_id=run_id) is None:
                raise NotFound("No run has this id")
            found = tx.many(
                "gates.of_run",
                run_id=run_id,
                after_id=after_id,
                limit=rows_wanted(query.limit),
            )
        return cut(found, limit=query.limit, make=_result, cursor=lambda row: str(row["id"]))


def _result(row: Row) -> GateResult:
    return GateResult(
        id=row["id"],
        run_id=row["run_id"],
        task_id=row["task_id"],
        gate=row["gate"],
        status=row["status"],
        evidence=Json(row["evidence_json"].encode()),
        actor=row["actor"],
        ts_ms=row["ts_ms"],
    )
