"""A small tree of statements, and databases built from it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkContext
from pathlib import Path
from typing import Any

import pytest

from tickets.db.migrations import migrate
from tickets.db.registry import Registry
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups

PATIENCE_S = 20.0  # far beyond anything that works; a test that gets here has failed

INITIAL = """\
-- Things, and parts of things.
CREATE TABLE things (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL CONSTRAINT short CHECK (length(name) < 100),
    note TEXT
) STRICT;
CREATE UNIQUE INDEX idx_things_name ON things (name);
CREATE TABLE parts (
    thing_id INTEGER NOT NULL REFERENCES things (id) ON DELETE CASCADE
) STRICT;
CREATE TRIGGER things_upper AFTER INSERT ON things WHEN NEW.note = 'upper' BEGIN
    UPDATE things SET note = 'done; really' WHERE id = NEW.id;
    DELETE FROM parts WHERE thing_id = NEW.id;
END;
"""

STATEMENTS = """\
-- Things for tests.

-- name: add :run
INSERT INTO things (name, note) VALUES (:name, :note);

-- name: add_returning :one
INSERT INTO things (name) VALUES (:name), (:name || '-2') RETURNING id, name;

-- name: copy_all :run
WITH old AS (SELECT name FROM things)
INSERT INTO things (name) SELECT name || '-copy' FROM old;

-- name: by_name :one
-- uses: idx_things_name
SELECT id, name, note FROM things WHERE name = :name;

-- name: names :many
-- scans: things, a test's table is small
SELECT name FROM things ORDER BY id;

-- name: count :value
-- scans: things, a test's table is small
SELECT count(*) FROM things;

-- name: add_part :run
INSERT INTO parts (thing_id) VALUES (:thing_id);

-- name: wrong :many
SELECT no_such_column FROM things;
"""


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    root = tmp_path / "sql"
    (root / "tracker" / "migrations").mkdir(parents=True)
    (root / "tracker" / "migrations" / "0001_initial.sqlite.sql").write_text(INITIAL)
    (root / "tracker" / "things.sql").write_text(STATEMENTS)
    return root


@pytest.fixture
def open_database(sql: Path, tmp_path: Path) -> Iterator[Callable[..., SqliteDatabase]]:
    """Open the database of this test, as often as wanted; closed afterwards."""
    opened: list[SqliteDatabase] = []

    def open_one(**options: Any) -> SqliteDatabase:
        path = str(tmp_path / "data" / "tickets.db")
        database = SqliteDatabase(path, registry=Registry.load(sql), **options)
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def wakeups(tmp_path: Path) -> Wakeups:
    return Wakeups(str(tmp_path / "data" / "tickets.db"))


@pytest.fixture
def db(
    open_database: Callable[..., SqliteDatabase], sql: Path, wakeups: Wakeups
) -> SqliteDatabase:
    database = open_database(wakeups=wakeups)
    migrate(database, sql, 1)
    return database


@pytest.fixture
def fork() -> ForkContext:
    return multiprocessing.get_context("fork")


class Thread(threading.Thread):
    """A thread whose result, or exception, comes out of result()."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._answer: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self._error = error

    def result(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._answer


@pytest.fixture
def start() -> Callable[[Callable[[], Any]], Thread]:
    """Run a callable in a thread."""
    return Thread


def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail where it never does."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it never came true")


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    return until


@pytest.fixture
def held(start: Callable[[Callable[[], Any]], Thread]) -> Callable[..., Any]:
    """Hold a write block open in another thread, until the with block ends."""

    @contextmanager
    def hold(database: SqliteDatabase) -> Iterator[None]:
        inside, leave = threading.Event(), threading.Event()

        def work() -> None:
            with database.write():
                inside.set()
                assert leave.wait(PATIENCE_S)

        thread = start(work)
        assert inside.wait(PATIENCE_S)
        try:
            yield
        finally:
            leave.set()
            thread.result()

    return hold
