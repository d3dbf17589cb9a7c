"""Pipelines: created once, never changed, and therefore kept in memory once read."""

from __future__ import annotations

from typing import Any

import msgspec

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import DuplicateName, NotFound, PipelineNotFound
from tickets.ids import new_id
from tickets.tracker.domain.documents import MAX_INT64, NewPipeline, PipelinesQuery
from tickets.tracker.domain.pipeline_keys import unknown_key_warnings
from tickets.tracker.domain.pipelines import Definition, parse_definition
from tickets.tracker.domain.records import Json, NewPipelineAnswer, Pipeline
from tickets.tracker.domain.stored_pipelines import read_definition
from tickets.tracker.operations.facts import record
from tickets.web.answers import to_json
from tickets.web.pages import cut, parse_time_cursor, rows_wanted


class Definitions:
    """The parsed definitions this process has met; one for each application."""

    def __init__(self) -> None:
        self._known: dict[str, Definition] = {}

    def find(self, tx: Transaction, pipeline_id: str) -> Definition | None:
        """Return the definition of a pipeline, or None for an unknown id."""
        known = self._known.get(pipeline_id)
        if known is None:
            row = tx.one("pipelines.get", pipeline_id=pipeline_id)
            if row is None:
                return None
            known = read_definition(msgspec.json.decode(row["definition_json"]))
            self._known[pipeline_id] = known
        return known

    def read(self, db: Database, pipeline_id: str) -> Definition:
        """Return the definition of a pipeline that a client names, outside of any transaction.

        Raises PipelineNotFound.
        """
        known = self._known.get(pipeline_id)
        if known is None:
            with db.read() as tx:
                known = self.find(tx, pipeline_id)
        if known is None:
            # In turn with all who write: a refusal of the name may have told a client of a
            # pipeline that is not committed yet.
            with db.write() as tx:
                known = self.find(tx, pipeline_id)
                if known is None:
                    raise PipelineNotFound
        return known

    def get(self, tx: Transaction, pipeline_id: str) -> Definition:
        """Return the definition of a pipeline that a stored task names."""
        definition = self.find(tx, pipeline_id)
        assert definition is not None, "tasks refer to their pipeline by foreign key"
        return definition

    def id_of_name(self, tx: Transaction, name: str) -> str | None:
        """Return the id of the pipeline with this name, or None."""
        found: str | None = tx.value("pipelines.id_of_name", name=name)
        return found


class PipelineOperations:
    """Everything a client can ask of pipelines."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def create(self, document: NewPipeline) -> NewPipelineAnswer:
        """Store a pipeline; its definition is kept as it was sent, unknown keys included.

        Of those, and of what is seldom meant, the answer warns: a pipeline never changes.

        Raises ValidationFailed with the place of the fault, DuplicateName.
        """
        definition = parse_definition(document.definition)
        definition_json = to_json(document.definition)
        pipeline_id = new_id()
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            created = tx.one(
                "pipelines.create",
                id=pipeline_id,
                name=document.name,
                definition_json=definition_json,
                created_at_ms=now_ms,
            )
            if created is None:
                existing = tx.value("pipelines.id_of_name", name=document.name)
                raise DuplicateName(details={"id": existing})
            for stage in definition.stages.values():
                tx.run(
                    "pipelines.add_stage",
                    pipeline_id=pipeline_id,
                    stage=stage.name,
                    agent_role=stage.agent_role,
                    is_terminal=int(stage.terminal),
                )
            record(
                tx,
                "pipeline.created",
                now_ms=now_ms,
                pipeline_id=pipeline_id,
                name=document.name,
            )
        warnings = [*definition.warnings(), *unknown_key_warnings(document.definition)]
        return NewPipelineAnswer(id=pipeline_id, warnings=warnings or msgspec.UNSET)

    def find_or_create(self, document: NewPipeline) -> str:
        """Return the id of the pipeline with this name, made where there is none."""
        try:
            return self.create(document).id
        except DuplicateName as error:
            details: Any = error.details
            return str(details["id"])

    def get(self, pipeline_id: str) -> Pipeline:
        """Return a pipeline. Raises NotFound."""
        with self._db.read() as tx:
            row = tx.one("pipelines.get", pipeline_id=pipeline_id)
        if row is None:
            raise NotFound("No pipeline has this id")
        return _pipeline(row)

    def list_newest_first(self, query: PipelinesQuery) -> tuple[list[Pipeline], str | None]:
        """Return pipelines and where the next part begins, if the list was cut.

        Raises InvalidCursor.
        """
        with self._db.read() as tx:
            before_created_at_ms, before_seq = MAX_INT64, MAX_INT64
            if query.cursor is not None:
                before_created_at_ms, id_ = parse_time_cursor(query.cursor)
                # An unknown id begins with all of its millisecond.
                before_seq = tx.value("pipelines.seq_of", pipeline_id=id_) or MAX_INT64
            rows = tx.many(
                "pipelines.page",
                before_created_at_ms=before_created_at_ms,
                before_seq=before_seq,
                limit=rows_wanted(query.limit),
            )
        return cut(
            rows,
            limit=query.limit,
            make=_pipeline,
            cursor=lambda row: f"{row['created_at_ms']}:{row['id']}",
        )


def _pipeline(row: Row) -> Pipeline:
    return Pipeline(
        id=row["id"],
        name=row["name"],
        definition=Json(row["definition_json"].encode()),
        created_at_ms=row["created_at_ms"],
    )
