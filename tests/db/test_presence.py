"""Files that are deleted or replaced under a running service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tickets.db import presence
from tickets.db.log import Log
from tickets.db.presence import Presence
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import DatabaseReplaced


def add(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run("things.add", name=name, note=None)


def names(db: SqliteDatabase) -> list[str]:
    with db.read() as tx:
        return [row["name"] for row in tx.many("things.names")]


def delete(db: SqliteDatabase) -> None:
    Path(db.path).unlink()


def replace(db: SqliteDatabase) -> None:
    copy = Path(f"{db.path}-copy")
    shutil.copyfile(db.path, copy)
    copy.replace(db.path)


def delete_log(db: SqliteDatabase) -> None:
    Path(f"{db.path}-wal").unlink()


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every write look for its files."""
    monkeypatch.setattr(presence, "LOOK_EVERY_S", 0.0)


@pytest.mark.parametrize("harm", [delete, replace, delete_log])
def test_nothing_is_written_to_files_that_are_no_longer_there(
    db: SqliteDatabase, harm: Callable[[SqliteDatabase], None], caplog: pytest.LogCaptureFixture
) -> None:
    add(db, "before")
    assert names(db) == ["before"]
    harm(db)
    left = {path.name for path in Path(db.path).parent.iterdir()}

    for _ in range(3):
        with pytest.raises(DatabaseReplaced, match="stop the service"):
            add(db, "after")
        with pytest.raises(DatabaseReplaced):
            db.ping()

    assert names(db) == ["before"]
    assert {path.name for path in Path(db.path).parent.iterdir()} == left
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_went_to_a_deleted_log_is_saved_by_closing(
    db: SqliteDatabase, open_database: Callable[..., SqliteDatabase]
) -> None:
    add(db, "before")
    delete_log(db)

    db.close()

    assert names(open_database()) == ["before"]


def test_a_file_that_is_put_back_is_written_again(
    db: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    away = Path(f"{db.path}-away")
    add(db, "before")
    for name in ("first", "second"):
        Path(db.path).rename(away)
        with pytest.raises(DatabaseReplaced):
            add(db, "lost")
        away.rename(db.path)

        add(db, name)

    assert names(db) == ["before", "first", "second"]
    assert len(caplog.records) == 2


@pytest.mark.parametrize("harm", [delete, replace])
def test_a_replaced_file_is_neither_made_nor_opened_by_a_new_connection(
    db: SqliteDatabase, start: Callable[..., Any], harm: Callable[[SqliteDatabase], None]
) -> None:
    add(db, "before")
    harm(db)
    was_there = Path(db.path).exists()

    reading = start(lambda: names(db))
    with pytest.raises(DatabaseReplaced):
        reading.result()
    # As after a failure, where the next writer begins with a fresh one.
    db._process.gate._drop_connection()
    with pytest.raises(DatabaseReplaced):
        add(db, "after")

    assert Path(db.path).exists() == was_there


def watched(path: Path) -> Presence:
    path.parent.mkdir()
    path.write_bytes(b"")
    watch = Presence(str(path), Log(str(path)))
    watch.check()
    watch.remember()
    watch.check()
    return watch


def test_a_directory_that_is_gone_is_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "t.db"
    watch = watched(path)
    shutil.rmtree(path.parent)

    with pytest.raises(DatabaseReplaced):
        watch.check()
    path.parent.write_bytes(b"")
    with pytest.raises(DatabaseReplaced):
        watch.check()


def test_writers_look_again_once_some_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOOK_EVERY_S", 1.0)
    path = tmp_path / "data" / "t.db"
    watch = watched(path)
    watch.check_sometimes(5.0)
    path.unlink()

    watch.check_sometimes(5.9)
    for now_s in (6.0, 6.1):
        with pytest.raises(DatabaseReplaced):
            watch.check_sometimes(now_s)


def test_a_log_that_the_last_connection_deletes_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db-wal"
    path.write_bytes(b"")
    kept, let_go = Log(str(tmp_path / "t.db")), Log(str(tmp_path / "t.db"))
    kept.open()
    let_go.open()
    path.unlink()
    fstat = os.fstat

    def closed_meanwhile(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        let_go.close()
        return found

    monkeypatch.setattr(os, "fstat", closed_meanwhile)

    assert not let_go.is_deleted()
    assert kept.is_deleted()
