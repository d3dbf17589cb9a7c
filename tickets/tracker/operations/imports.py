"""Import of a nullTickets database, of either era, beside whatever is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.db.foreign import ForeignDatabase, open_foreign
from tickets.errors import Invalid, ValidationFailed
from tickets.tracker.domain.dependencies import find_cycles
from tickets.tracker.domain.foreign_values import integer, plain
from tickets.tracker.domain.imports import Translation
from tickets.tracker.domain.pipelines import parse_definition
from tickets.tracker.domain.stored_pipelines import read_definition
from tickets.tracker.operations.facts import claim_topic, record
from tickets.tracker.operations.imported_history import History, ranges
from tickets.tracker.operations.imported_rest import Rest

REQUIRED: Final = {
    "pipelines": {"id", "name", "definition_json"},
    "tasks": {"id", "pipeline_id", "stage", "title"},
    "runs": {"id", "task_id", "attempt", "status"},
    "leases": {"id", "run_id", "token_hash", "expires_at_ms"},
    "events": {"id", "run_id", "kind", "data_json"},
}
TASK_COLUMNS: Final = (
    "id",
    "pipeline_id",
    "stage",
    "title",
    "description",
    "priority",
    "metadata_json",
    "task_version",
    "next_eligible_at_ms",
    "max_attempts",
    "retry_delay_ms",
    "dead_letter_stage",
    "dead_letter_reason",
    "run_id",
    "workflow_state_json",
    "created_at_ms",
    "updated_at_ms",
)
STEP_ROWS: Final = 500
# Of each kind of remark so many are written out; the rest is a number.
REMARKS_SHOWN: Final = 20
# Agents that wait for one kind of work and are woken; each of them looks for more by itself.
WAKEUPS_MAX: Final = 100

Tell = Callable[[str], None]


class ImportOperations:
    """Copies another tracker's database into this one, once or again."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def import_file(self, path: Path, *, tell: Tell | None = None) -> dict[str, int]:
        """Copy what is not here yet and return how many rows of each kind came in.

        All in one transaction: other writers wait, nobody sees half of it, and a task cannot
        be claimed before its dependencies are there. Ids, times and the tokens of live leases
        stay as they are. A row whose id or key is here is left alone, and so is everything
        that belongs to a task that is here; so repeating an import adds only what is new in
        the file. What was deleted here meanwhile, as ended tasks by a prune, comes again.

        What the present rules would refuse comes in all the same and is told of in sentences
        through ``tell``: odd definitions, taken names, dependency cycles, values out of
        range. Idempotency keys are taken over where the same answer holds here: writes that
        succeeded in the last 24 hours, in the key space of the API, or of the lease for
        events and gates of a run that goes on. Answers to claims hold a token, others were
        refusals or need a lease that is gone: these are left out and counted.

        Raises Invalid where ``path`` is no such database; nothing is written then.
        """
        with open_foreign(path) as source:
            check_is_nulltickets(source, path)
            with self._db.write() as tx:
                now_ms = self._clock.now_ms()
                return _Import(tx, source, now_ms, tell or _say_nothing).run()


def check_import(path: Path) -> None:
    """Return where ``path`` can be imported. Raises Invalid."""
    with open_foreign(path) as source:
        check_is_nulltickets(source, path)


def check_is_nulltickets(source: ForeignDatabase, path: Path) -> None:
    """Return where the database has the tables of a nullTickets. Raises Invalid."""
    if source.columns("schema_migrations") and "seq" in source.columns("tasks"):
        raise Invalid(f"{path} is a database of this service, not of nullTickets")
    for table, columns in REQUIRED.items():
        missing = sorted(columns - source.columns(table))
        if missing:
            what = f"{table}.{missing[0]}" if source.columns(table) else f"table {table}"
            raise Invalid(f"{path} is not a nullTickets database: it has no {what}")


class _Import:
    """One import, as long as its transaction."""

    def __init__(
        self, tx: Transaction, source: ForeignDatabase, now_ms: int, tell: Tell
    ) -> None:
        self._tx = tx
        self._source = source
        self._now_ms = now_ms
        self._tell = tell
        self._translation = Translation(now_ms)
        tx.hold("imports.lock_tables")
        before = tx.one("imports.highest")
        assert before is not None, "a row of aggregates"
        self._before = before

    def run(self) -> dict[str, int]:
        """Do all of it, parents first, and return the counts."""
        tx = self._tx
        parts = (tx, self._source, self._translation, self._before, self._now_ms)
        history, rest = History(*parts), Rest(*parts)
        counts = {
            "pipelines": self._add_pipelines(),
            "tasks": self._add_tasks(),
            **history.add(),
            "dependencies": self._add_dependencies(),
            "assignments": self._add_assignments(),
        }
        tx.run("imports.add_unknown_stages", after_task_seq=self._before["task_seq"])
        counts |= rest.add()
        tx.hold("imports.move_sequences")
        self._tell_of_cycles()
        if any(counts.values()):
            self._tell_of_changes(history.remarks + rest.remarks)
            data: dict[str, Any] = {**counts}
            record(tx, "tracker.imported", now_ms=self._now_ms, **data)
            self._wake()
        return counts

    def _add_pipelines(self) -> int:
        count = 0
        columns = ("id", "name", "definition_json", "created_at_ms")
        for row in self._source.rows("pipelines", columns):
            pipeline_id, name = plain(row["id"]), plain(row["name"])
            if self._tx.value("pipelines.seq_of", pipeline_id=pipeline_id) is not None:
                continue
            definition_json = self._translation.json(row["definition_json"], "{}")
            created = {
                "id": pipeline_id,
                "definition_json": definition_json,
                "created_at_ms": integer(row["created_at_ms"]),
            }
            free_name = next(
                each
                for each in _names(name)
                if self._tx.one("pipelines.create", name=each, **created) is not None
            )
            if free_name != name:
                self._tell(f"pipeline {name!r} came in as {free_name!r}: the name was taken")
            self._add_stages(pipeline_id, free_name, msgspec.json.decode(definition_json))
            count += 1
        return count

    def _add_stages(self, pipeline_id: str, name: str, document: object) -> None:
        try:
            parse_definition(document)
        except ValidationFailed as error:
            self._tell(f"pipeline {name!r} would be refused today: {error.text}")
        for stage in read_definition(document).stages.values():
            self._tx.run(
                "pipelines.add_stage",
                pipeline_id=pipeline_id,
                stage=stage.name,
                agent_role=stage.agent_role,
                is_terminal=int(stage.terminal),
            )

    def _add_tasks(self) -> int:
        rows = self._source.rows("tasks", TASK_COLUMNS)
        count = self._tx.run_many("imports.add_task", map(self._translation.task, rows))
        skipped = self._source.count("tasks") - count
        if skipped:
            self._tell(f"{skipped} tasks were left alone with all that belongs to them")
        orphans = self._source.orphans()
        if orphans:
            self._tell(f"{orphans} rows refer to rows that the file does not hold")
        return count

    def _add_dependencies(self) -> int:
        columns = ("task_id", "depends_on_task_id", "created_at_ms")
        count = self._tx.run_many(
            "imports.add_dependency",
            (
                {
                    "task_id": plain(row["task_id"]),
                    "depends_on_task_id": plain(row["depends_on_task_id"]),
                    "created_at_ms": integer(row["created_at_ms"]),
                    "after_task_seq": self._before["task_seq"],
                }
                for row in self._source.rows("task_dependencies", columns)
            ),
        )
        for after_seq, upto_seq in self._task_ranges():
            self._tx.run(
                "imports.count_open_dependencies", after_seq=after_seq, upto_seq=upto_seq
            )
        return count

    def _add_assignments(self) -> int:
        columns = (
            "task_id",
            "agent_id",
            "assigned_by",
            "active",
            "created_at_ms",
            "updated_at_ms",
        )
        count = 0
        after_seq = self._before["assignment_seq"]
        for row in self._source.rows("task_assignments", columns):
            task_id = plain(row["task_id"])
            state = {
                "task_id": task_id,
                "active": int(integer(row["active"], 1) != 0),
                "updated_at_ms": integer(row["updated_at_ms"]),
            }
            self._tx.run(
                "imports.end_older_assignment", after_assignment_seq=after_seq, **state
            )
            assigned_by = row["assigned_by"]
            count += self._tx.run(
                "imports.add_assignment",
                agent_id=plain(row["agent_id"]),
                assigned_by=None if assigned_by is None else plain(assigned_by),
                created_at_ms=integer(row["created_at_ms"]),
                after_task_seq=self._before["task_seq"],
                **state,
            )
        for low, high in self._task_ranges():
            self._tx.run("imports.set_assignees", after_seq=low, upto_seq=high)
        return count

    def _task_ranges(self) -> Iterator[tuple[int, int]]:
        highest = self._tx.one("imports.highest")
        assert highest is not None, "a row of aggregates"
        return ranges(self._before["task_seq"], highest["task_seq"])

    def _tell_of_cycles(self) -> None:
        def edges_of(task_id: str) -> list[str]:
            found = self._tx.many("dependencies.targets", task_id=task_id)
            return [row["depends_on_task_id"] for row in found]

        count = 0
        for circle in find_cycles(edges_of, self._new_dependents()):
            count += 1
            if count <= REMARKS_SHOWN:
                self._tell(f"dependency cycle, remove an edge: {' -> '.join(circle)}")
        if count > REMARKS_SHOWN:
            self._tell(f"{count - REMARKS_SHOWN} more dependency cycles")

    def _new_dependents(self) -> Iterator[str]:
        after_seq: int = self._before["dependency_seq"]
        while rows := self._tx.many(
            "imports.new_dependents", after_seq=after_seq, limit=STEP_ROWS
        ):
            yield from (row["task_id"] for row in rows)
            after_seq = rows[-1]["seq"]

    def _tell_of_changes(self, remarks: Counter[str]) -> None:
        repaired = self._source.repaired
        if repaired:
            self._tell(f"{repaired} texts held bytes that are no characters, now \\xNN")
        for what, count in (self._translation.changed + remarks).items():
            self._tell(f"{count} x {what}")

    def _wake(self) -> None:
        for row in self._tx.many("imports.claimable", after_task_seq=self._before["task_seq"]):
            topic = claim_topic(row["claim_role"], row["claim_assignee"])
            for _ in range(min(row["task_count"], WAKEUPS_MAX)):
                self._tx.wake(topic)


def _names(name: str) -> Iterator[str]:
    """Yield a name and what to call the thing where that is taken."""
    yield name
    yield f"{name} (imported)"
    number = 2
    while True:
        yield f"{name} (imported {number})"
        number += 1


def _say_nothing(_: Any) -> None:
    return None
