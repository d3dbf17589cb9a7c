from __future__ import annotations

import sqlite3
from collections.abc import Callable
from multiprocessing.context import ForkContext
from pathlib import Path

import pytest

from tickets.db.migrations import MigrationError, migrate, pending
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import TicketsError

PATIENCE_S = 20.0


@pytest.fixture
def empty(open_database: Callable[..., SqliteDatabase]) -> SqliteDatabase:
    return open_database(busy_timeout_ms=20_000)


def add_file(sql: Path, name: str, text: str) -> Path:
    path = sql / "tracker" / "migrations" / name
    path.write_text(text)
    return path


def ledger(db: SqliteDatabase) -> list[tuple[object, ...]]:
    with db.exclusive() as connection:
        return connection.execute(
            "SELECT product, number, name, applied_at_ms FROM schema_migrations"
            " ORDER BY product, number"
        ).fetchall()


def tables(db: SqliteDatabase) -> set[str]:
    with db.exclusive() as connection:
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {row[0] for row in rows}


def test_each_migration_is_applied_once_and_in_order(empty: SqliteDatabase, sql: Path) -> None:
    assert pending(empty, sql) == ["tracker/0001_initial"]
    assert migrate(empty, sql, 5) == ["tracker/0001_initial"]
    add_file(sql, "0002_more.sqlite.sql", "ALTER TABLE things ADD COLUMN more TEXT;\n")
    add_file(sql, "0002_more.postgres.sql", "not for this dialect\n")

    assert pending(empty, sql) == ["tracker/0002_more"]
    assert migrate(empty, sql, 7) == ["tracker/0002_more"]
    assert migrate(empty, sql, 9) == []
    assert pending(empty, sql) == []
    assert ledger(empty) == [("tracker", 1, "initial", 5), ("tracker", 2, "more", 7)]


def test_triggers_stay_whole(empty: SqliteDatabase, sql: Path) -> None:
    migrate(empty, sql, 1)

    with empty.write() as tx:
        tx.run("things.add", name="a", note="upper")
        row = tx.one("things.by_name", name="a")

    assert row == {"id": 1, "name": "a", "note": "done; really"}


def test_each_product_counts_for_itself(empty: SqliteDatabase, sql: Path) -> None:
    (sql / "web" / "migrations").mkdir(parents=True)
    (sql / "web" / "migrations" / "0001_keys.sqlite.sql").write_text(
        "CREATE TABLE keys (id INTEGER PRIMARY KEY) STRICT;"
    )

    assert migrate(empty, sql, 1) == ["tracker/0001_initial", "web/0001_keys"]


def test_an_edited_migration_is_refused_by_name(empty: SqliteDatabase, sql: Path) -> None:
    migrate(empty, sql, 1)
    path = add_file(sql, "0001_initial.sqlite.sql", "CREATE TABLE other (id INTEGER);\n")

    with pytest.raises(MigrationError, match="was edited") as refusal:
        migrate(empty, sql, 1)
    assert str(path) in str(refusal.value)
    with pytest.raises(MigrationError, match="was edited"):
        pending(empty, sql)


def test_a_database_newer_than_the_program_is_refused(empty: SqliteDatabase, sql: Path) -> None:
    newest = add_file(sql, "0002_more.sqlite.sql", "ALTER TABLE things ADD COLUMN more TEXT;\n")
    migrate(empty, sql, 1)
    newest.unlink()

    with pytest.raises(MigrationError, match="newer than this program: it has tracker/0002"):
        migrate(empty, sql, 1)


def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty: SqliteDatabase, sql: Path
) -> None:
    path = add_file(
        sql,
        "0002_more.sqlite.sql",
        "CREATE TABLE more (id INTEGER);\nCREATE TABLE things (x);\n",
    )

    with pytest.raises(MigrationError) as failure:
        migrate(empty, sql, 1)

    assert str(path) in str(failure.value)
    assert "more" not in tables(empty)
    assert len(ledger(empty)) == 1


def test_a_table_can_be_rebuilt_without_losing_its_children(
    empty: SqliteDatabase, sql: Path
) -> None:
    migrate(empty, sql, 1)
    with empty.write() as tx:
        tx.run("things.add", name="a", note=None)
        tx.run("things.add_part", thing_id=1)
    add_file(
        sql,
        "0002_rebuild.sqlite.sql",
        "CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT) STRICT;\n"
        "INSERT INTO new SELECT id, name, note FROM things;\n"
        "DROP TABLE things;\n"
        "ALTER TABLE new RENAME TO things;\n",
    )

    migrate(empty, sql, 2)

    with empty.exclusive() as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (1,)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_migration_that_leaves_orphans_is_undone(empty: SqliteDatabase, sql: Path) -> None:
    add_file(sql, "0002_orphan.sqlite.sql", "INSERT INTO parts (thing_id) VALUES (7);\n")

    with pytest.raises(MigrationError, match="without their parent"):
        migrate(empty, sql, 1)

    assert len(ledger(empty)) == 1


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("0003_gap.sqlite.sql", "SELECT 1;", "number 0002 is missing"),
        ("0001_twin.sqlite.sql", "SELECT 1;", "there twice"),
        ("2_short.sqlite.sql", "SELECT 1;", "not named"),
        ("0002_open.sqlite.sql", "SELECT 1", "does not end in ';'"),
    ],
)
def test_files_that_are_out_of_order_are_refused(
    empty: SqliteDatabase, sql: Path, name: str, text: str, problem: str
) -> None:
    add_file(sql, name, text)

    with pytest.raises(MigrationError, match=problem):
        migrate(empty, sql, 1)


def test_a_full_disk_is_told_as_such(empty: SqliteDatabase, sql: Path) -> None:
    migrate(empty, sql, 1)
    add_file(
        sql,
        "0002_large.sqlite.sql",
        "CREATE TABLE large (x BLOB);\nINSERT INTO large VALUES (zeroblob(10000000));\n",
    )
    with empty.exclusive() as connection:
        connection.execute("PRAGMA max_page_count = 20")

    with pytest.raises(TicketsError, match="full"):
        migrate(empty, sql, 1)


def test_processes_that_start_together_migrate_once(
    empty: SqliteDatabase, sql: Path, fork: ForkContext
) -> None:
    for number in range(2, 8):
        add_file(sql, f"000{number}_t.sqlite.sql", f"CREATE TABLE t{number} (id INTEGER);\n")
    answers: list[str] = []
    queue = fork.SimpleQueue()
    barrier = fork.Barrier(4)

    def work() -> None:
        barrier.wait(PATIENCE_S)
        queue.put(migrate(empty, sql, 1))
        empty.close()

    children = [fork.Process(target=work) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_S)
        assert child.exitcode == 0
        answers += queue.get()

    assert len(answers) == 7
    assert len(ledger(empty)) == 7


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.close()
    database = SqliteDatabase(str(path), registry=Registry({}))

    with pytest.raises(MigrationError, match="another program"):
        migrate(database, sql_root(), 0)

    database.close()
    left = sqlite3.connect(path)
    assert left.execute("SELECT name FROM sqlite_schema").fetchall() == [("notes",)]
    left.close()


def test_a_nulltickets_database_is_refused_with_the_command_that_imports_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "nulltickets.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE pipelines (id)")
    other.execute("CREATE TABLE leases (id)")
    other.close()
    database = SqliteDatabase(str(path), registry=Registry({}))

    with pytest.raises(MigrationError, match="tickets import-nulltickets"):
        migrate(database, sql_root(), 0)

    database.close()
