"""Artifacts: references to what tasks and runs brought forth."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import RunNotFound, RunTaskMismatch, TaskNotFound, Unauthorized
from tickets.ids import new_id
from tickets.tracker.domain.documents import MIN_INT64, ArtifactQuery, NewArtifact
from tickets.tracker.domain.records import Artifact, Json
from tickets.tracker.operations.access import check_run_reader
from tickets.tracker.operations.facts import record
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_time_cursor


class ArtifactOperations:
    """Everything a client can ask of artifacts."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, document: NewArtifact, *, reader: bytes | None) -> str:
        """Store an artifact, for a task, a run, both or neither; return its id.

        No lease is needed, and an ended run still takes artifacts; a lease token as
        credential must be that of a live lease of ``run_id``. Raises Unauthorized,
        TaskNotFound, RunNotFound, RunTaskMismatch.
        """
        artifact_id = new_id()
        meta_json = to_json(document.meta or {})
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            if reader is not None:
                if document.run_id is None:
                    raise Unauthorized("A lease token opens the artifacts of its own run only")
                check_run_reader(tx, document.run_id, reader=reader, now_ms=now_ms)
            _check_owners(tx, document)
            tx.one(
                "artifacts.create",
                id=artifact_id,
                task_id=document.task_id,
                run_id=document.run_id,
                now_ms=now_ms,
                kind=document.kind,
                uri=document.uri,
                sha256_hex=document.sha256,
                size_bytes=document.size_bytes,
                meta_json=meta_json,
            )
            record(
                tx,
                "artifact.created",
                now_ms=now_ms,
                task_id=document.task_id,
                run_id=document.run_id,
                artifact_id=artifact_id,
                kind=document.kind,
            )
        return artifact_id

    def list_oldest_first(
        self, query: ArtifactQuery, *, reader: bytes | None
    ) -> Page[Artifact]:
        """Return a page of artifacts, by creation. Raises InvalidCursor, Unauthorized."""
        with self._db.read() as tx:
            if reader is not None:
                if query.run_id is None:
                    raise Unauthorized("A lease token opens the artifacts of its own run only")
                now_ms = self._clock.now_ms()
                check_run_reader(tx, query.run_id, reader=reader, now_ms=now_ms)
            after_created_at_ms, after_seq = MIN_INT64, 0
            if query.cursor is not None:
                after_created_at_ms, id_ = parse_time_cursor(query.cursor)
                after_seq = tx.value("artifacts.seq_of", artifact_id=id_) or 0
            found = _page(
                tx,
                query,
                after_created_at_ms=after_created_at_ms,
                after_seq=after_seq,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=_artifact,
            cursor=lambda row: f"{row['created_at_ms']}:{row['id']}",
        )


def _check_owners(tx: Transaction, document: NewArtifact) -> None:
    task_id, run_id = document.task_id, document.run_id
    if task_id is not None and tx.value("tasks.seq_of", task_id=task_id) is None:
        raise TaskNotFound
    if run_id is None:
        return
    task_of_run = tx.value("runs.task_of", run_id=run_id)
    if task_of_run is None:
        raise RunNotFound
    if task_id not in (None, task_of_run):
        raise RunTaskMismatch


def _page(tx: Transaction, query: ArtifactQuery, **position: int) -> list[Row]:
    task_id, run_id = query.task_id, query.run_id
    if task_id is not None and run_id is not None:
        return tx.many("artifacts.page_by_task_run", task_id=task_id, run_id=run_id, **position)
    if run_id is not None:
        return tx.many("artifacts.page_by_run", run_id=run_id, **position)
    if task_id is not None:
        return tx.many("artifacts.page_by_task", task_id=task_id, **position)
    return tx.many("artifacts.page", **position)


def _artifact(row: Row) -> Artifact:
    return Artifact(
        id=row["id"],
        task_id=row["task_id"],
        run_id=row["run_id"],
        created_at_ms=row["created_at_ms"],
        kind=row["kind"],
        uri=row["uri"],
        sha256=row["sha256_hex"],
        size_bytes=row["size_bytes"],
        meta=Json(row["meta_json"].encode()),
    )
