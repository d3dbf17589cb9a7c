from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tickets.db import sqlite
from tickets.db.database import ConstraintViolated, StatementFailed
from tickets.db.registry import Registry
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, Invalid, StorageFull, TicketsError


def names(db: SqliteDatabase) -> list[str]:
    with db.read() as tx:
        return [row["name"] for row in tx.many("things.names")]


def add(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run("things.add", name=name, note=None)


def lose(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run("things.add", name=name, note=None)
        raise KeyError(name)


def test_each_kind_answers_as_it_says(db: SqliteDatabase) -> None:
    with db.write() as tx:
        assert tx.one("things.by_name", name="a") is None
        assert tx.one("things.add_returning", name="a") == {"id": 1, "name": "a"}
        assert tx.many("things.names") == [{"name": "a"}, {"name": "a-2"}]
        assert tx.value("things.count") == 2
        assert tx.run("things.add", name="b", note="upper") == 1
        assert tx.run("things.copy_all") == 3
        assert tx.run_many("things.add", [dict(name=n, note=None) for n in "xyz"]) == 3
        assert tx.run_many("things.add", []) == 0


def test_a_method_of_another_kind_is_a_mistake(db: SqliteDatabase) -> None:
    with db.read() as tx, pytest.raises(AssertionError, match="is :value, not :one"):
        tx.one("things.count")


def test_a_transaction_is_of_no_use_after_its_block(db: SqliteDatabase) -> None:
    with db.write() as tx:
        pass

    with pytest.raises(AssertionError, match="has ended"):
        tx.value("things.count")


def test_a_block_that_raises_leaves_nothing(db: SqliteDatabase) -> None:
    with pytest.raises(KeyError):
        lose(db, "a")

    assert names(db) == []


def test_a_nested_write_is_undone_alone(db: SqliteDatabase) -> None:
    with db.write() as tx:
        tx.run("things.add", name="outer", note=None)
        with pytest.raises(KeyError):
            lose(db, "inner")
        add(db, "kept")

    assert names(db) == ["outer", "kept"]


def test_a_nested_write_goes_with_the_outer_one(db: SqliteDatabase) -> None:
    def outer() -> None:
        with db.write():
            add(db, "inner")
            lose(db, "too")

    with pytest.raises(KeyError):
        outer()

    assert names(db) == []


def test_a_write_inside_a_read_is_refused(db: SqliteDatabase) -> None:
    with db.read(), pytest.raises(RuntimeError, match="inside a read"), db.write():
        pass

    add(db, "a")


def test_a_read_inside_a_write_sees_what_was_written(db: SqliteDatabase) -> None:
    with db.write() as tx:
        tx.run("things.add", name="a", note=None)

        assert names(db) == ["a"]


def test_a_read_keeps_its_view_while_others_write(
    db: SqliteDatabase, start: Callable[..., Any]
) -> None:
    with db.read() as tx:
        assert tx.value("things.count") == 0
        start(lambda: add(db, "a")).result()

        assert tx.value("things.count") == 0


def test_a_read_block_cannot_write(db: SqliteDatabase) -> None:
    with db.read() as tx, pytest.raises(TicketsError):
        tx.run("things.add", name="a", note=None)

    assert names(db) == []


def test_a_violated_constraint_says_which(db: SqliteDatabase) -> None:
    add(db, "a")
    seen = {}
    cases: list[tuple[str, str, dict[str, object]]] = [
        ("unique", "things.add", dict(name="a", note=None)),
        ("check", "things.add", dict(name="a" * 100, note=None)),
        ("not null", "things.add", dict(name=None, note=None)),
        ("foreign key", "things.add_part", dict(thing_id=77)),
        ("datatype", "things.add_part", dict(thing_id="x")),
    ]
    for kind, statement, params in cases:
        with pytest.raises(ConstraintViolated) as violated, db.write() as tx:
            tx.run(statement, **params)
        assert isinstance(violated.value.__cause__, sqlite3.Error)
        assert violated.value.kind == kind
        seen[kind] = violated.value.constraint

    assert seen["unique"] == "things.name"
    assert seen["check"] == "short"
    assert seen["not null"] == "things.name"
    assert seen["foreign key"] == ""


@pytest.mark.parametrize(
    ("statement", "params", "expected"),
    [
        ("things.wrong", {}, StatementFailed),
        ("things.by_name", {}, StatementFailed),
        ("things.by_name", {"name": object()}, StatementFailed),
        ("things.by_name", {"name": 1 << 64}, Invalid),
        ("things.by_name", {"name": "\ud800"}, Invalid),
    ],
)
def test_nothing_of_the_driver_comes_out_of_a_block(
    db: SqliteDatabase, statement: str, params: dict[str, Any], expected: type[Exception]
) -> None:
    def ask(block: Callable[[], Any]) -> None:
        with block() as tx:
            method = tx.many if statement == "things.wrong" else tx.one
            method(statement, **params)

    for block in (db.read, db.write):
        with pytest.raises(expected):
            ask(block)


def test_a_full_file_is_storage_full_and_later_writes_go_on(db: SqliteDatabase) -> None:
    with db.exclusive() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    with pytest.raises(StorageFull), db.write() as tx:
        tx.run_many("things.add", [dict(name=f"{n}", note="x" * 1000) for n in range(1000)])

    assert names(db) == []
    add(db, "small")
    assert names(db) == ["small"]


def test_a_foreign_lock_is_busy_after_the_patience_given(db: SqliteDatabase) -> None:
    other = sqlite3.connect(db.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Busy), db.write(patience_ms=20):
            pass
    finally:
        other.close()

    add(db, "a")


def test_what_is_no_file_is_refused(sql: Path) -> None:
    for path in (":memory:", "", "file:x?mode=memory"):
        with pytest.raises(ValueError, match="must be a path"):
            SqliteDatabase(path, registry=Registry.load(sql))


def test_a_file_that_is_no_database_is_an_error_of_the_family(
    open_database: Callable[..., SqliteDatabase], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tickets.db").write_bytes(b"no database" * 1000)
    database = open_database()

    with pytest.raises(TicketsError, match="damaged"):
        database.ping()


def test_a_new_file_is_private_and_its_folders_are_made(db: SqliteDatabase) -> None:
    assert Path(db.path).stat().st_mode & 0o777 == 0o600
    assert Path(f"{db.path}-wal").stat().st_mode & 0o777 == 0o600


def test_a_database_that_was_never_used_leaves_no_file(
    open_database: Callable[..., SqliteDatabase],
) -> None:
    database = open_database()
    database.close()

    assert not Path(database.path).exists()


def test_a_closed_database_refuses_and_may_be_closed_again(db: SqliteDatabase) -> None:
    names(db)
    db.close()
    db.close()

    for block in (db.read, db.write):
        with pytest.raises(RuntimeError, match="closed"), block():
            pass
    assert not Path(f"{db.path}-wal").exists()


def test_a_thread_takes_over_the_reader_of_a_dead_one(
    db: SqliteDatabase, start: Callable[..., Any]
) -> None:
    for _ in range(5):
        start(lambda: names(db)).result()

    assert len(db._process.readers) == 1


def test_a_backup_is_consistent_and_has_all_that_was_committed(
    db: SqliteDatabase, held: Callable[..., Any], tmp_path: Path, sql: Path
) -> None:
    add(db, "a")
    with held(db):
        db.backup(tmp_path / "copy.db")

    copy = SqliteDatabase(str(tmp_path / "copy.db"), registry=Registry.load(sql))
    assert names(copy) == ["a"]
    assert copy.integrity_check() == []
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.part"))
    copy.close()


def test_a_backup_onto_itself_is_refused(db: SqliteDatabase) -> None:
    with pytest.raises(ValueError, match="its own backup"):
        db.backup(Path(db.path))


def test_a_backup_into_a_read_only_folder_names_the_folder(
    db: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        # Such a file system says so of a file that is not there as well.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "copy.db.1.part")

    add(db, "a")
    monkeypatch.setattr(sqlite, "copy", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(Busy) as raised:
        db.backup(tmp_path / "copy.db")

    assert str(raised.value) == (
        f"The folder {tmp_path} for the backup cannot be used now: Read-only file system"
    )


def test_a_checkpoint_moves_the_log_and_truncation_empties_it(db: SqliteDatabase) -> None:
    add(db, "a")

    moved = db.checkpoint()

    assert moved.complete
    assert moved.moved_pages == moved.wal_pages > 0
    assert db.wal_bytes() > 0
    assert db.checkpoint(truncate=True).complete
    assert db.wal_bytes() == 0


def test_a_reader_in_the_way_leaves_a_truncation_incomplete(
    db: SqliteDatabase, start: Callable[..., Any]
) -> None:
    with db.read() as tx:
        tx.value("things.count")
        start(lambda: add(db, "a")).result()

        assert not start(lambda: db.checkpoint(truncate=True)).result().complete


def test_orphans_are_found_by_the_integrity_check(db: SqliteDatabase) -> None:
    with db.exclusive() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("INSERT INTO parts (thing_id) VALUES (7)")
        connection.execute("PRAGMA foreign_keys = ON")

    assert db.integrity_check() == ["row 1 of parts refers to a missing row of things"]


def test_every_connection_has_its_pragmas(db: SqliteDatabase) -> None:
    expected = {"foreign_keys": 1, "wal_autocheckpoint": 0, "temp_store": 2}
    with db.read() as tx, tx.raw() as connection:
        found = {k: connection.execute(f"PRAGMA {k}").fetchone()[0] for k in expected}
        assert found == expected
    with db.exclusive() as connection:
        found = {k: connection.execute(f"PRAGMA {k}").fetchone()[0] for k in expected}
        assert found == expected
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        # NORMAL: the gate syncs what is committed.
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1


def test_closing_leaves_a_block_of_another_thread_alone(
    db: SqliteDatabase, start: Callable[..., Any]
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def reading() -> int:
        with db.read() as tx:
            tx.value("things.count")
            inside.set()
            assert leave.wait(20)
            return int(tx.value("things.count"))

    thread = start(reading)
    assert inside.wait(20)
    db.close()
    leave.set()

    assert thread.result() == 0
