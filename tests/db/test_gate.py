from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.context import ForkContext
from pathlib import Path
from typing import Any

import pytest

from tickets.db import batch as batch_module
from tickets.db.database import ConstraintViolated
from tickets.db.filelock import FileLock
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups
from tickets.errors import Busy, StorageFull

PATIENCE_S = 20.0


def names(db: SqliteDatabase) -> set[str]:
    with db.read() as tx:
        return {row["name"] for row in tx.many("things.names")}


def add(db: SqliteDatabase, name: str, patience_ms: int = 20_000) -> None:
    with db.write(patience_ms) as tx:
        tx.run("things.add", name=name, note=None)


def in_line(db: SqliteDatabase) -> int:
    return len(db._process.gate._line._places)


class Crowd:
    """Writers that queue behind a block held open, and so share one batch."""

    def __init__(self, db: SqliteDatabase, start: Callable[..., Any], wait_until: Any) -> None:
        self.db = db
        self.start = start
        self.wait_until = wait_until
        self.threads: list[Any] = []

    def join(self, work: Callable[[], Any]) -> Any:
        waiting = in_line(self.db)
        thread = self.start(work)
        self.wait_until(lambda: in_line(self.db) == waiting + 1)
        self.threads.append(thread)
        return thread


@pytest.fixture
def crowd(
    db: SqliteDatabase,
    start: Callable[..., Any],
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Crowd:
    # A slow machine must not end the batch early.
    monkeypatch.setattr(batch_module, "BATCH_SECONDS", PATIENCE_S)
    return Crowd(db, start, wait_until)


@pytest.fixture
def commits(db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry, the number of members, for each COMMIT."""
    gate = db._process.gate
    seen: list[int] = []
    commit, end = gate._commit, gate._end

    def counting_end(batch: Any) -> None:
        seen.append(batch.members)
        end(batch)

    monkeypatch.setattr(gate, "_end", counting_end)
    monkeypatch.setattr(gate, "_commit", commit)
    return seen


def test_writers_that_queue_share_one_commit(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any], commits: list[int]
) -> None:
    with held(db):
        threads = [crowd.join(partial(add, db, f"n{n}")) for n in range(8)]
    for thread in threads:
        thread.result()

    assert commits == [9]
    assert names(db) == {f"n{n}" for n in range(8)}


def test_a_batch_ends_when_it_is_full(
    db: SqliteDatabase,
    crowd: Crowd,
    held: Callable[..., Any],
    commits: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_module, "BATCH_MEMBERS", 3)
    with held(db):
        threads = [crowd.join(partial(add, db, f"n{n}")) for n in range(6)]
    for thread in threads:
        thread.result()

    assert commits == [3, 3, 1]


def test_a_member_that_fails_is_undone_alone(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any], commits: list[int]
) -> None:
    def fail() -> None:
        with db.write(20_000) as tx:
            tx.run("things.add", name="lost", note=None)
            raise KeyError

    def collide() -> None:
        with db.write(20_000) as tx:
            tx.run("things.add", name="also lost", note=None)
            tx.run("things.add", name="first", note=None)

    with held(db):
        first = crowd.join(lambda: add(db, "first"))
        failing = crowd.join(fail)
        colliding = crowd.join(collide)
        second = crowd.join(lambda: add(db, "second"))
        last = crowd.join(fail)

    first.result()
    second.result()
    with pytest.raises(KeyError):
        failing.result()
    with pytest.raises(ConstraintViolated):
        colliding.result()
    with pytest.raises(KeyError):
        last.result()
    assert names(db) == {"first", "second"}
    assert commits == [6]


@pytest.mark.parametrize("dying", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_member_that_dies_takes_nobody_with_it(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any], dying: type[BaseException]
) -> None:
    def die() -> None:
        with db.write(20_000) as tx:
            tx.run("things.add", name="lost", note=None)
            raise dying

    with held(db):
        threads = [crowd.join(lambda: add(db, "a")), crowd.join(die)]

    threads[0].result()
    with pytest.raises(dying):
        threads[1].result()
    add(db, "b")
    assert names(db) == {"a", "b"}


def test_a_first_member_that_fails_leaves_the_gate_open(
    db: SqliteDatabase, crowd: Crowd, start: Callable[..., Any]
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def fail() -> None:
        with db.write() as tx:
            tx.run("things.add", name="lost", note=None)
            inside.set()
            assert leave.wait(PATIENCE_S)
            raise KeyError

    first = start(fail)
    assert inside.wait(PATIENCE_S)
    second = crowd.join(lambda: add(db, "a"))
    leave.set()

    with pytest.raises(KeyError):
        first.result()
    second.result()
    assert names(db) == {"a"}


def test_a_commit_that_fails_fails_every_member(
    db: SqliteDatabase,
    crowd: Crowd,
    held: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = db._process.gate

    def full() -> None:
        raise StorageFull

    hold = ExitStack()
    hold.enter_context(held(db))
    threads = [crowd.join(partial(add, db, f"n{n}")) for n in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(gate, "_commit", full)
        with pytest.raises(StorageFull):
            hold.close()
        for thread in threads:
            with pytest.raises(StorageFull):
                thread.result()

    add(db, "later")
    assert names(db) == {"later"}


def test_nobody_is_answered_before_the_commit(
    db: SqliteDatabase,
    crowd: Crowd,
    held: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = db._process.gate
    commit = gate._commit
    reached, go_on = threading.Event(), threading.Event()

    def pausing() -> None:
        reached.set()
        assert go_on.wait(PATIENCE_S)
        commit()

    monkeypatch.setattr(gate, "_commit", pausing)
    answered: list[int] = []

    def write(number: int) -> None:
        add(db, f"n{number}")
        answered.append(number)

    with ExitStack() as hold:
        hold.enter_context(held(db))
        threads = [crowd.join(partial(write, n)) for n in range(3)]
        hold.callback(lambda: None)
        releasing = crowd.start(hold.pop_all().close)
        assert reached.wait(PATIENCE_S)

        assert answered == []
        assert names(db) == set()
        go_on.set()
    releasing.result()
    for thread in threads:
        thread.result()

    assert sorted(answered) == [0, 1, 2]


def test_a_rollback_by_sqlite_fails_the_whole_batch(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any]
) -> None:
    def lose_it_and_carry_on() -> None:
        with db.write(20_000) as tx:
            # Stands in for what SQLite does by itself after some I/O errors.
            tx._connection.execute("ROLLBACK")
            with pytest.raises(ConstraintViolated):
                tx.run("things.add", name=None, note=None)
            with pytest.raises(ConstraintViolated):
                tx.run("things.add", name="stays by itself", note=None)

    hold = ExitStack()
    hold.enter_context(held(db))
    before = crowd.join(lambda: add(db, "before"))
    breaking = crowd.join(lose_it_and_carry_on)
    after = crowd.join(lambda: add(db, "after"))
    with pytest.raises(ConstraintViolated):
        hold.close()

    for thread in (before, breaking):
        with pytest.raises(ConstraintViolated):
            thread.result()
    after.result()
    assert names(db) == {"after"}


def test_a_writer_in_line_gives_up_at_its_own_deadline(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any], start: Callable[..., Any]
) -> None:
    with held(db):
        patient = crowd.join(lambda: add(db, "patient"))
        with pytest.raises(Busy):
            start(lambda: add(db, "hasty", patience_ms=10)).result()

    patient.result()
    assert names(db) == {"patient"}


def test_many_writers_with_little_patience_lose_nothing_and_hang_nobody(
    db: SqliteDatabase, start: Callable[..., Any]
) -> None:
    def work(worker: int) -> set[str]:
        done = set()
        for number in range(60):
            name = f"{worker}-{number}"
            try:
                with db.write(patience_ms=(worker * number) % 4) as tx:
                    tx.run("things.add", name=name, note=None)
                    if number % 7 == 0:
                        raise KeyError
                done.add(name)
            except (Busy, KeyError):
                pass
        return done

    threads = [start(partial(work, w)) for w in range(8)]

    assert set().union(*(thread.result() for thread in threads)) == names(db)


def test_exclusive_waits_for_the_batch_and_commits_it(
    db: SqliteDatabase, crowd: Crowd, held: Callable[..., Any]
) -> None:
    def look() -> int:
        with db.exclusive(20_000) as connection:
            return int(connection.execute("SELECT count(*) FROM things").fetchone()[0])

    with held(db):
        crowd.join(lambda: add(db, "a"))
        looking = crowd.join(look)

    assert looking.result() == 1


def test_wake_ups_are_published_after_the_commit_without_those_undone(
    db: SqliteDatabase, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[tuple[list[str], set[str]]] = []
    monkeypatch.setattr(
        db._process.gate, "_publish", lambda topics: published.append((topics, names(db)))
    )

    def lose(topic: str) -> None:
        with db.write() as tx:
            tx.wake(topic)
            raise KeyError(topic)

    with db.write() as tx:
        tx.run("things.add", name="a", note=None)
        tx.wake("one")
        with pytest.raises(KeyError):
            lose("undone")
        with db.write() as inner:
            inner.wake("two")
    with pytest.raises(KeyError):
        lose("lost")

    assert [topics for topics, _ in published] == [["one", "two"]]


def test_a_publisher_that_fails_does_not_fail_the_write(
    db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(topics: list[str]) -> None:
        raise OSError(topics)

    monkeypatch.setattr(db._process.gate, "_publish", broken)

    with db.write() as tx:
        tx.run("things.add", name="a", note=None)
        tx.wake("topic")

    assert names(db) == {"a"}


def hold_in_child(db: SqliteDatabase, fork: ForkContext) -> tuple[Any, Any]:
    """Hold the gate in another process until the event is set."""
    inside, leave = fork.Event(), fork.Event()

    def work() -> None:
        with db.write() as tx:
            tx.run("things.add", name="child", note=None)
            inside.set()
            assert leave.wait(PATIENCE_S)

    child = fork.Process(target=work)
    child.start()
    assert inside.wait(PATIENCE_S)
    return child, leave


def test_a_writer_in_another_process_makes_busy_after_a_bounded_wait(
    db: SqliteDatabase, fork: ForkContext, start: Callable[..., Any]
) -> None:
    child, leave = hold_in_child(db, fork)
    for _ in range(2):  # the second finds the first one's request still open
        began = time.monotonic()
        with pytest.raises(Busy):
            add(db, "a", patience_ms=50)
        assert 0.05 <= time.monotonic() - began < PATIENCE_S / 2
    waiting = start(lambda: add(db, "b"))
    leave.set()
    waiting.result()
    child.join(PATIENCE_S)

    assert child.exitcode == 0
    assert names(db) == {"child", "b"}


def test_a_lock_that_nobody_wants_any_more_is_given_back(
    db: SqliteDatabase, fork: ForkContext, wait_until: Any
) -> None:
    child, leave = hold_in_child(db, fork)
    with pytest.raises(Busy):
        add(db, "a", patience_ms=10)
    leave.set()
    child.join(PATIENCE_S)
    wait_until(lambda: not db._process.gate._lock._helper.is_asked())

    free = os.open(f"{db.path}-lock", os.O_RDWR)
    fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(free)


def test_a_killed_writer_leaves_the_gate_open_and_nothing_behind(
    db: SqliteDatabase, fork: ForkContext
) -> None:
    child, _ = hold_in_child(db, fork)
    child.kill()
    child.join(PATIENCE_S)

    add(db, "a")

    assert names(db) == {"a"}
    assert db.integrity_check() == []


def test_an_unlinked_lock_file_is_replaced(db: SqliteDatabase) -> None:
    add(db, "a")
    Path(f"{db.path}-lock").unlink()

    add(db, "b")

    assert Path(f"{db.path}-lock").exists()


def test_two_locks_of_one_process_exclude_each_other(db: SqliteDatabase) -> None:
    one, two = FileLock(f"{db.path}-x"), FileLock(f"{db.path}-x")
    one.acquire(time.monotonic() + 1)

    with pytest.raises(Busy):
        two.acquire(time.monotonic() + 0.01)
    one.release()
    two.acquire(time.monotonic() + PATIENCE_S)

    two.release()
    one.close()
    two.close()


def test_processes_and_threads_together_lose_nothing(
    db: SqliteDatabase, fork: ForkContext
) -> None:
    def work(process: int) -> None:
        def write(thread: int) -> None:
            for number in range(25):
                add(db, f"{process}-{thread}-{number}")

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [fork.Process(target=work, args=(n,)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_S)

    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    assert len(names(db)) == 4 * 4 * 25
    assert db.integrity_check() == []
