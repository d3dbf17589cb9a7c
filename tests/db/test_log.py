from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tickets.db import log
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, TicketsError

PATIENCE_S = 20.0


class Disk:
    """Stands in for the system's sync: counts, holds it up, or lets it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._flush = log.flush
        self.flushed = 0
        self.fails = False
        self.reached = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        monkeypatch.setattr(log, "flush", self)

    def __call__(self, descriptor: int) -> None:
        self.reached.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._flush(descriptor)
        self.flushed += 1

    def hold(self) -> None:
        self.reached.clear()
        self.may_go_on.clear()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def add(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run("things.add", name=name, note=None)


def names(db: SqliteDatabase) -> set[str]:
    with db.read() as tx:
        return {row["name"] for row in tx.many("things.names")}


def test_a_write_is_answered_after_its_sync_and_holds_up_nobody_else(
    db: SqliteDatabase,
    open_database: Callable[..., SqliteDatabase],
    disk: Disk,
    start: Callable[..., Any],
    wait_until: Any,
) -> None:
    other = open_database(durability="normal")
    disk.hold()
    answered: list[str] = []

    def write(name: str) -> None:
        add(db, name)
        answered.append(name)

    first = start(lambda: write("first"))
    assert disk.reached.wait(PATIENCE_S)
    second = start(lambda: write("second"))
    add(other, "from another process")

    wait_until(lambda: names(other) == {"first", "second", "from another process"})
    assert answered == []
    disk.may_go_on.set()
    first.result()
    second.result()
    assert sorted(answered) == ["first", "second"]


def test_each_write_is_synced_and_none_where_power_loss_is_accepted(
    db: SqliteDatabase, open_database: Callable[..., SqliteDatabase], disk: Disk
) -> None:
    add(db, "kept")
    assert disk.flushed == 1

    add(open_database(durability="normal"), "not so sure")
    assert disk.flushed == 1


def test_what_is_done_alone_is_synced_too(db: SqliteDatabase, disk: Disk) -> None:
    with db.exclusive() as connection:
        connection.execute("INSERT INTO things (name) VALUES ('alone')")
        assert disk.flushed == 0

    assert disk.flushed == 1


def test_what_a_read_showed_can_be_made_durable_where_nothing_was_written(
    db: SqliteDatabase, open_database: Callable[..., SqliteDatabase], disk: Disk
) -> None:
    add(db, "elsewhere")
    reader = open_database()
    assert names(reader) == {"elsewhere"}
    flushed = disk.flushed

    reader.sync()

    assert disk.flushed == flushed + 1


def test_after_a_failed_sync_the_log_is_written_anew_before_anybody_builds_on_it(
    db: SqliteDatabase, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(db, "before")
    disk.fails = True
    with pytest.raises(Busy):
        add(db, "doubtful")

    # As long as the disk is broken nothing is accepted, and reads go on.
    for _ in range(2):
        with pytest.raises(Busy):
            add(db, "refused")
    assert names(db) == {"before", "doubtful"}

    disk.fails = False
    flushed = disk.flushed
    on_disk = Path(f"{db.path}-wal").read_bytes()
    written: dict[int, bytes] = {}
    monkeypatch.setattr(os, "pwrite", lambda _, data, at: written.update({at: data}))
    add(db, "after")

    assert b"".join(written[at] for at in sorted(written)) == on_disk
    assert disk.flushed == flushed + 2
    assert names(db) == {"before", "doubtful", "after"}
    add(db, "and so on")
    assert disk.flushed == flushed + 3


def test_nothing_is_checkpointed_that_may_have_a_hole(db: SqliteDatabase, disk: Disk) -> None:
    disk.fails = True
    with pytest.raises(Busy):
        add(db, "doubtful")

    with pytest.raises(TicketsError):
        db.checkpoint()

    disk.fails = False
    assert db.checkpoint().complete
    assert names(db) == {"doubtful"}


def test_the_end_of_the_connections_between_commit_and_sync_does_no_harm(
    db: SqliteDatabase,
    open_database: Callable[..., SqliteDatabase],
    disk: Disk,
    start: Callable[..., Any],
) -> None:
    disk.hold()
    writing = start(lambda: add(db, "kept"))
    assert disk.reached.wait(PATIENCE_S)

    closing = start(db.close)
    disk.may_go_on.set()
    closing.result()
    writing.result()

    assert names(open_database()) == {"kept"}
