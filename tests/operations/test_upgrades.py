"""Databases that an earlier version has filled."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FrozenClock
from tests.worlds import World
from tickets.db.migrations import migrate
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase

pytestmark = pytest.mark.sqlite

# One task of each kind that is counted, as the first schema holds them.
FIRST_SCHEMA_ROWS = """
INSERT INTO pipelines (id, name, definition_json, created_at_ms) VALUES ('p', 'p', '{}', 1);
INSERT INTO pipeline_stages VALUES ('p', 'todo', 'coder', 0), ('p', 'done', NULL, 1);
INSERT INTO tasks (id, pipeline_id, stage, title, description, created_at_ms, updated_at_ms,
                   claim_role, claim_assignee, is_terminal, is_dead, dead_letter_reason,
                   is_delayed, next_eligible_at_ms, is_leased, open_dependency_count,
                   last_attempt)
VALUES ('ready', 'p', 'todo', 't', '', 1, 1, 'coder', NULL, 0, 0, NULL, 0, 0, 0, 0, 0),
       ('for-a', 'p', 'todo', 't', '', 2, 2, 'coder', 'a', 0, 0, NULL, 0, 0, 0, 0, 0),
       ('leased', 'p', 'todo', 't', '', 3, 3, 'coder', NULL, 0, 0, NULL, 0, 0, 1, 0, 3),
       ('dead', 'p', 'todo', 't', '', 4, 4, 'coder', NULL, 0, 1, 'spent', 0, 0, 0, 0, 2),
       ('blocked', 'p', 'todo', 't', '', 5, 5, 'coder', NULL, 0, 0, NULL, 0, 0, 0, 1, 0),
       ('delayed', 'p', 'todo', 't', '', 6, 6, 'coder', NULL, 0, 0, NULL, 1,
        9000000000000, 0, 0, 1),
       ('done', 'p', 'done', 't', '', 7, 7, NULL, NULL, 1, 0, NULL, 0, 0, 0, 0, 1);
INSERT INTO task_dependencies (task_id, depends_on_task_id, created_at_ms)
VALUES ('blocked', 'ready', 1);
INSERT INTO task_assignments (task_id, agent_id, active, created_at_ms, updated_at_ms)
VALUES ('for-a', 'a', 1, 2, 2);
INSERT INTO runs (id, task_id, attempt, status, started_at_ms, ended_at_ms)
VALUES ('r1', 'leased', 1, 'failed', 1, 2), ('r2', 'leased', 2, 'stale', 2, 3),
       ('r4', 'dead', 1, 'failed', 1, 2), ('r5', 'dead', 2, 'failed', 1, 2),
       ('r6', 'delayed', 1, 'failed', 1, 2), ('r7', 'done', 1, 'completed', 1, 2),
       ('r3', 'leased', 3, 'running', 3, NULL);
INSERT INTO leases (id, run_id, task_id, agent_id, agent_role, token_hash, ttl_ms,
                    granted_at_ms, expires_at_ms, status)
VALUES ('l', 'r3', 'leased', 'a', 'coder', zeroblob(32), 1, 1, 9000000000000, 'active');
"""


@pytest.fixture
def first(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A database as the first schema left it."""
    old_sql = tmp_path / "sql"
    shutil.copytree(sql_root(), old_sql)
    for migration in (old_sql / "tracker" / "migrations").glob("*.sql"):
        if not migration.name.startswith("0001_"):
            migration.unlink()
    db = SqliteDatabase(str(tmp_path / "t.db"), registry=Registry.load(sql_root()))
    migrate(db, old_sql, 1)
    with db.exclusive() as connection:
        connection.executescript(FIRST_SCHEMA_ROWS)
    yield db
    db.close()


def test_tasks_that_were_there_are_counted(first: SqliteDatabase, clock: FrozenClock) -> None:
    migrate(first, sql_root(), 2)

    world = World(first, clock)
    counts = {
        (row[2], row[3]): row[4:]
        for row in world.query("SELECT * FROM task_counts WHERE claim_role = 'coder'")
    }

    assert counts == {
        ("ready", 0): (1, 0),
        ("ready", 1): (1, 0),
        ("leased", 0): (1, 1),
        ("dead", 0): (1, 2),
        ("blocked", 0): (1, 0),
        ("delayed", 0): (1, 1),
    }
    assert world.queue_counted() == world.queue_by_looking()
