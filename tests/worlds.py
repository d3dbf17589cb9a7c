"""The operations on one database, with short words, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from string import Template
from typing import Any
from uuid import uuid4

import psycopg

from tests.factories import SIMPLE, Json
from tests.vaults import PassingVault
from tickets.clock import Clock
from tickets.db.database import Database, Row
from tickets.db.postgres_database import PostgresDatabase
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import TicketsError
from tickets.ids import hash_token
from tickets.lifecycle.routes import LifecycleOperations, build_lifecycle
from tickets.tracker.domain.documents import (
    BulkTask,
    ChangesQuery,
    ClaimRequest,
    Concurrency,
    FailRequest,
    NewArtifact,
    NewAssignment,
    NewEvent,
    NewGateResult,
    NewPipeline,
    NewTask,
    PageQuery,
    RetryPolicyDocument,
    TransitionRequest,
)
from tickets.tracker.domain.records import Change, Claim, Event, Run
from tickets.tracker.operations import rows
from tickets.tracker.operations.managers import Managers
from tickets.tracker.routes import Operations, build_operations

# The statements without what a database does in its own way; SQLite understands them all.
PORTABLE = Registry.load(sql_root(), None)

# How many tasks of each kind there are: as counted by triggers, and by looking at them.
COUNTED = {
    "sqlite": "SELECT * FROM task_counts",
    "postgres": """
        SELECT claim_role, stage, queue_state, is_assigned,
               SUM(task_count) AS task_count, SUM(failed_run_count) AS failed_run_count
          FROM (SELECT * FROM task_counts UNION ALL SELECT * FROM task_count_deltas) AS moved
         GROUP BY 1, 2, 3, 4""",
}
SEEN = """
        SELECT COALESCE(claim_role, ''), stage, queue_state,
               CASE WHEN claim_assignee IS NULL THEN 0 ELSE 1 END,
               COUNT(*), SUM(failed_run_count)
          FROM tasks GROUP BY 1, 2, 3, 4"""

# What every statement promises between transactions: each query finds who breaks it.
_INVARIANTS = {
    "tasks are counted by role, stage, state and whether they are assigned": f"""
        {SEEN} EXCEPT SELECT * FROM ($counted) AS counted""",
    "no kind of task is counted that does not exist": f"""
        SELECT * FROM ($counted) AS counted WHERE task_count > 0 EXCEPT {SEEN}""",
    "each task knows how many of its runs failed": """
        SELECT id FROM tasks AS t
         WHERE failed_run_count <> (SELECT COUNT(*) FROM runs AS r
                                     WHERE r.task_id = t.id AND r.status = 'failed')""",
    "a task has at most one active lease": """
        SELECT task_id FROM leases WHERE status = 'active'
         GROUP BY task_id HAVING COUNT(*) > 1""",
    "an active lease and a running run come together": """
        SELECT r.id FROM runs AS r LEFT JOIN leases AS l ON l.run_id = r.id
         WHERE (r.status = 'running') <> (l.status IS NOT DISTINCT FROM 'active')""",
    "attempts are 1, 2, 3 without gaps": """
        SELECT t.id FROM tasks AS t LEFT JOIN runs AS r ON r.task_id = t.id
         GROUP BY t.id, t.last_attempt
        HAVING COUNT(r.id) <> COALESCE(MAX(r.attempt), 0) OR MIN(r.attempt) <> 1
            OR COALESCE(MAX(r.attempt), 0) <> t.last_attempt""",
    "a run has an end exactly when it is over": """
        SELECT id FROM runs WHERE (status = 'running') <> (ended_at_ms IS NULL)""",
    "is_leased exactly while a run is running": """
        SELECT id FROM tasks AS t
         WHERE (is_leased = 1) <> EXISTS (SELECT 1 FROM runs AS r
                                           WHERE r.task_id = t.id AND r.status = 'running')""",
    "role and end are those of the present stage": """
        SELECT t.id FROM tasks AS t
          LEFT JOIN pipeline_stages AS s
            ON s.pipeline_id = t.pipeline_id AND s.stage = t.stage
         WHERE s.stage IS NULL OR t.claim_role IS DISTINCT FROM s.agent_role
            OR t.is_terminal <> s.is_terminal""",
    "the assignee is that of the one active assignment": """
        SELECT t.id FROM tasks AS t
          LEFT JOIN task_assignments AS a ON a.task_id = t.id AND a.active = 1
         GROUP BY t.id, t.claim_assignee
        HAVING COUNT(a.seq) > 1 OR t.claim_assignee IS DISTINCT FROM MAX(a.agent_id)""",
    "open dependencies are counted": """
        SELECT t.id FROM tasks AS t
         WHERE t.open_dependency_count - t.is_held <> (
               SELECT COUNT(*) FROM task_dependencies AS d
                 JOIN tasks AS target ON target.id = d.depends_on_task_id
                 LEFT JOIN dependency_releases AS r ON r.task_id = target.id
                WHERE d.task_id = t.id
                  AND (target.is_terminal = 0 OR target.dead_letter_reason IS NOT NULL
                       OR (d.seq > r.after_seq AND d.seq <= r.upto_seq)))""",
    "a dead task says why and never becomes eligible": """
        SELECT id FROM tasks
         WHERE is_dead = 1 AND (dead_letter_reason IS NULL OR is_leased = 1
                                OR next_eligible_at_ms <> 9223372036854775000)""",
    "a delayed task has a moment to wait for": """
        SELECT id FROM tasks
         WHERE is_delayed = 1 AND (next_eligible_at_ms <= 0 OR is_leased = 1 OR is_dead = 1)""",
    "every stage change has one event or change, and one version": """
        SELECT t.id FROM tasks AS t
         WHERE t.task_version - 1 <> (
               SELECT COUNT(*) FROM runs AS r JOIN events AS e ON e.run_id = r.id
                WHERE r.task_id = t.id
                  AND (e.kind = 'transition'
                       OR (e.kind = 'dead_letter'
                           AND json(e.data_json) ->> 'dead_letter_stage' IS NOT NULL)))
             + (SELECT COUNT(*) FROM changes AS c
                 WHERE c.task_id = t.id
                   AND (c.kind = 'task.withdrawn'
                        OR (c.kind = 'task.requeued'
                            AND json(c.data_json) ->> 'from_stage'
                                <> json(c.data_json) ->> 'stage')))""",
    "every run that ended by itself has the event of its end": """
        SELECT r.id FROM runs AS r
         WHERE (SELECT COUNT(*) FROM events AS e
                 WHERE e.run_id = r.id AND e.origin = 'system'
                   AND e.kind <> CASE WHEN r.status = 'stale' THEN 'dead_letter' ELSE '' END)
            <> CASE WHEN r.status IN ('completed', 'failed', 'stale', 'released')
                    THEN 1 ELSE 0 END""",
    "every run began with one change and ended with one": """
        SELECT r.id FROM runs AS r
         WHERE (SELECT COUNT(*) FROM changes AS c
                 WHERE c.run_id = r.id AND c.kind = 'task.claimed') <> 1
            OR (SELECT COUNT(*) FROM changes AS c
                 WHERE c.run_id = r.id
                   AND c.kind IN ('run.transitioned', 'run.failed', 'run.released',
                                  'lease.expired', 'task.cancelled', 'task.withdrawn'))
               <> CASE WHEN r.status = 'running' THEN 0 ELSE 1 END""",
}


def invariants(dialect: str) -> dict[str, str]:
    """Return each query in the words of one kind of database."""
    counted = COUNTED[dialect]
    return {
        name: Template(sql).substitute(counted=counted) for name, sql in _INVARIANTS.items()
    }


class World:
    """Operations with short words; lease tokens are looked up by the claim."""

    def __init__(self, db: Database, clock: Clock, *, random_unit: float = 0.5) -> None:
        self.db = db
        self.clock = clock
        self.managers = Managers()
        self.do: Operations = build_operations(
            db,
            clock,
            managers=self.managers,
            gates="enforce",
            pending_migrations=list,
            random_unit=lambda: random_unit,
        )
        self.lifecycle: LifecycleOperations = build_lifecycle(
            db, clock, self.do, self.managers, vault=PassingVault()
        )

    def pipeline(self, definition: Json | None = None) -> str:
        """Create a pipeline, SIMPLE where none is given."""
        document = NewPipeline(name=str(uuid4()), definition=definition or SIMPLE)
        return self.do.pipelines.create(document).id

    def task(
        self, pipeline_id: str, *, retry: RetryPolicyDocument | None = None, **fields: Any
    ) -> str:
        """Create a task."""
        document = NewTask(
            pipeline_id=pipeline_id, title="t", description="d", retry_policy=retry, **fields
        )
        return self.do.creation.create(document)

    def tasks(self, pipeline_id: str, count: int, **fields: Any) -> list[str]:
        """Create many tasks."""
        item = BulkTask(pipeline_id=pipeline_id, title="t", description="d", **fields)
        return self.do.creation.create_many([item] * count)

    def claims(
        self,
        role: str = "coder",
        agent: str = "a1",
        *,
        per_state: dict[str, int | None] | None = None,
        **fields: Any,
    ) -> list[Claim]:
        """Claim as many tasks as there are, one where ``max_tasks`` is not given."""
        concurrency = None if per_state is None else Concurrency(per_state=per_state)
        request = ClaimRequest(
            agent_id=agent, agent_role=role, concurrency=concurrency, **fields
        )
        return self.do.leases.claim(request)

    def claim(self, role: str = "coder", agent: str = "a1", **fields: Any) -> Claim:
        """Claim a task that is there."""
        (claim,) = self.claims(role, agent, **fields)
        return claim

    def transition(self, claim: Claim, trigger: str = "complete", **fields: Any) -> None:
        """Complete a run."""
        document = TransitionRequest(trigger=trigger, **fields)
        self.do.runs.transition(claim.run.id, document, holder=_holder(claim))

    def fail(self, claim: Claim) -> None:
        """Fail a run."""
        self.do.runs.fail(claim.run.id, FailRequest(error="broken"), holder=_holder(claim))

    def release(self, claim: Claim) -> None:
        """Give a task back."""
        self.do.runs.release(claim.run.id, reason=None, holder=_holder(claim))

    def heartbeat(self, claim: Claim, ttl_ms: int | None = None) -> int:
        """Keep a lease alive; return its end."""
        answer = self.do.leases.heartbeat(claim.lease_id, holder=_holder(claim), ttl_ms=ttl_ms)
        return answer.expires_at_ms

    def event(self, claim: Claim, kind: str = "step") -> None:
        """Add an event to a run."""
        self.do.events.append(claim.run.id, [NewEvent(kind=kind)], holder=_holder(claim))

    def gate(self, claim: Claim) -> None:
        """Add a gate result to a run."""
        result = NewGateResult(gate="g", status="pass")
        self.do.gates.append(claim.run.id, result, holder=_holder(claim))

    def artifact(self, claim: Claim) -> None:
        """Add an artifact to a run."""
        self.do.artifacts.create(
            NewArtifact(kind="k", uri="u", run_id=claim.run.id), reader=None
        )

    def assign(self, task_id: str, agent: str) -> None:
        """Reserve a task."""
        self.do.assignments.assign(task_id, NewAssignment(agent_id=agent))

    def depend(self, task_id: str, on: str) -> None:
        """Let a task wait for another."""
        self.do.dependencies.add(task_id, on)

    def finish(self, pipeline_id: str) -> str:
        """Create a task of a SIMPLE pipeline and bring it to its end."""
        task_id = self.task(pipeline_id, priority=2**40)
        self.transition(self.claim())
        return task_id

    def advance(self) -> None:
        """Do all that is due, as housekeeping does."""
        more = True
        while more:
            with self.db.write() as tx:
                more = self.do.readiness.advance(tx, now_ms=self.clock.now_ms())

    def row(self, task_id: str) -> Row:
        """Return a task as it is stored."""
        with self.db.read() as tx:
            return rows.found_task(tx, task_id)

    def runs(self, task_id: str) -> list[Run]:
        """Return a task's runs."""
        return self.do.runs.list_of_task(task_id, PageQuery(limit=1000), reader=None).items

    def events(self, task_id: str) -> list[Event]:
        """Return the events of a task's runs."""
        return self.do.events.list_of_task(task_id, PageQuery(limit=1000), reader=None).items

    def changes(self) -> list[Change]:
        """Return the whole feed."""
        found: list[Change] = []
        cursor = "0"
        while True:
            part = self.do.changes.list_after(ChangesQuery(after=cursor, limit=1000))
            if not part.items:
                return found
            found += part.items
            cursor = part.next_cursor

    @property
    def file(self) -> SqliteDatabase:
        """The database, where the test is about one in a file."""
        assert isinstance(self.db, SqliteDatabase)
        return self.db

    def query(self, sql: str, *values: object) -> list[Any]:
        """Look at the rows themselves."""
        return looked_up(self.db, sql, *values)

    def check(self, names: Sequence[str] | None = None) -> None:
        """Assert the invariants."""
        queries = invariants(self.db.dialect)
        for name in names or queries:
            assert self.query(queries[name]) == [], name
        assert self.queue_counted() == self.queue_by_looking()

    def queue_counted(self) -> list[Row]:
        """Return the queue of each role, as the service reads it."""
        with self.db.read() as tx:
            return _sorted(tx.many("queue.tasks_by_role", now_ms=self.clock.now_ms()))

    def queue_by_looking(self) -> list[Row]:
        """Return the same from the tasks themselves, one after the other."""
        now = str(self.clock.now_ms())
        sql = PORTABLE["queue.tasks_by_role"].sql.replace(":now_ms", now)
        with self.db.read() as tx, tx.raw() as connection:
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description]
            return _sorted([dict(zip(names, row, strict=True)) for row in cursor])


def looked_up(db: Database, sql: str, *values: object) -> list[Any]:
    """Return the rows of a query of the test's own, with a ``?`` for each value."""
    if db.dialect == "postgres":
        sql = sql.replace("%", "%%").replace("?", "%s") if values else sql
    with db.read() as tx, tx.raw() as connection:
        rows: list[Any] = connection.execute(sql, values).fetchall()
        return rows


@contextmanager
def renamed(db: Database, table: str) -> Iterator[None]:
    """Give a table another name, so that no statement finds it, and then its own again."""

    def rename(old: str, new: str) -> None:
        with db.write() as tx, tx.raw() as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename(table, "elsewhere")
    try:
        yield
    finally:
        rename("elsewhere", table)


def blocked_connections(db: Database) -> int:
    """Return how many connections to a PostgreSQL database wait for a lock.

    On a connection of its own, because within a transaction the answer stays the same.
    """
    assert isinstance(db, PostgresDatabase)
    with psycopg.connect(**db._parameters, autocommit=True) as connection:
        row = connection.execute(
            "SELECT COUNT(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    assert row is not None, "a row without a table"
    return int(row[0])


TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}


def dump(db: Database) -> list[str]:
    """Return every row there is as text."""
    return sorted(
        f"{table} {row}"
        for (table,) in looked_up(db, TABLES[db.dialect])
        for row in looked_up(db, f"SELECT * FROM {table}")
    )


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["agent_role"]))


def refusal(action: Any, *args: Any, **kwargs: Any) -> str | None:
    """Do something and return the code with which it was refused, None where it was not."""
    try:
        action(*args, **kwargs)
    except TicketsError as error:
        return error.code
    return None


def _holder(claim: Claim) -> bytes | None:
    return hash_token(claim.lease_token)
