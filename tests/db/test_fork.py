from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.context import ForkContext
from pathlib import Path
from typing import Any

import pytest

from tickets.db.sqlite_database import SqliteDatabase

PATIENCE_S = 20.0


def add(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run("things.add", name=name, note=None)


def count(db: SqliteDatabase) -> int:
    with db.read() as tx:
        return int(tx.value("things.count"))


def in_child(fork: ForkContext, work: Callable[[], None]) -> None:
    child = fork.Process(target=work)
    child.start()
    child.join(PATIENCE_S)
    assert child.exitcode == 0


def test_a_forked_process_opens_its_own_connections(
    db: SqliteDatabase, fork: ForkContext
) -> None:
    add(db, "parent")
    count(db)

    def work() -> None:
        assert not db._process.readers
        assert not db._process.gate.is_used()
        assert count(db) == 1
        add(db, "child")
        db.close()

    in_child(fork, work)

    assert Path(f"{db.path}-wal").exists(), "the child deleted the parent's log"
    add(db, "parent again")
    assert count(db) == 3
    assert db.integrity_check() == []


def test_a_fork_while_another_thread_writes_is_harmless(
    db: SqliteDatabase, fork: ForkContext, held: Callable[..., Any]
) -> None:
    def work() -> None:
        with pytest.raises(Exception, match="busy"), db.write(patience_ms=10):
            pass

    with held(db):
        in_child(fork, work)

    add(db, "parent")
    assert count(db) == 1


def test_a_fork_inside_a_block_cannot_end_the_parents_transaction(db: SqliteDatabase) -> None:
    with db.write() as tx:
        tx.run("things.add", name="a", note=None)
        child = os.fork()
        if child == 0:
            break_out = 1
            try:
                db._end(db._process, tx)
                tx.value("things.count")
            except AssertionError:
                break_out = 0
            os._exit(break_out)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert count(db) == 1


def test_leaving_the_block_in_the_child_is_refused(db: SqliteDatabase) -> None:
    parent = os.getpid()
    try:
        with db.write() as tx:
            tx.run("things.add", name="a", note=None)
            child = os.fork()
    except RuntimeError:
        if os.getpid() != parent:
            os._exit(0)
        raise
    if os.getpid() != parent:
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert count(db) == 1
