from __future__ import annotations

import struct
from collections.abc import Callable
from multiprocessing.context import ForkContext
from pathlib import Path
from typing import Any

import pytest

from tickets.db import wakeups as wakeups_module
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Subscription, Wakeups

PATIENCE_S = 20.0


def awake(waiters: list[Subscription]) -> list[bool]:
    return [waiter.wait(0) for waiter in waiters]


def test_a_publication_before_wait_is_seen_once(wakeups: Wakeups) -> None:
    with wakeups.subscribe(["a"]) as waiter:
        wakeups.publish(["a"])

        assert waiter.wait(0) is True
        assert waiter.wait(0) is False


def test_a_publication_before_the_subscription_is_not_seen(wakeups: Wakeups) -> None:
    wakeups.publish(["a"])

    with wakeups.subscribe(["a"]) as waiter:
        assert waiter.wait(0) is False


def test_another_topic_wakes_nobody(wakeups: Wakeups) -> None:
    with wakeups.subscribe(["a"]) as waiter:
        wakeups.publish(["b"])

        assert waiter.wait(0.02) is False


def test_a_waiting_thread_is_woken(wakeups: Wakeups, start: Callable[..., Any]) -> None:
    with wakeups.subscribe(["a", "b"]) as waiter:
        thread = start(lambda: waiter.wait(PATIENCE_S))
        wakeups.publish(["b"])

        assert thread.result() is True


def test_as_many_are_woken_as_was_published_the_oldest_first(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(5)]

    wakeups.publish(["a", "a"])

    assert awake(waiters) == [True, True, False, False, False]


def test_one_that_is_awake_already_does_not_use_up_a_wake_up(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(3)]

    wakeups.publish(["a"])
    wakeups.publish(["a"])

    assert awake(waiters) == [True, True, False]


def test_whoever_wants_every_change_is_always_woken(wakeups: Wakeups) -> None:
    one = wakeups.subscribe(["a"])
    every = [wakeups.subscribe(["a"], all_woken=True) for _ in range(3)]
    other = wakeups.subscribe(["a"])

    wakeups.publish(["a"])

    assert awake([one, *every, other]) == [True, True, True, True, False]


def test_a_wake_up_of_no_use_goes_to_the_next_and_never_back(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(3)]
    wakeups.publish(["a"])

    seen = []
    for _ in range(4):
        states = awake(waiters)
        seen.append(states)
        for waiter, state in zip(waiters, states, strict=True):
            if state:
                waiter.pass_on()

    assert seen == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]


def test_a_wake_up_is_passed_on_once(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(3)]
    wakeups.publish(["a"])
    assert waiters[0].wait(0)

    waiters[0].pass_on()
    waiters[0].pass_on()

    assert awake(waiters) == [False, True, False]


def test_of_a_wake_up_for_everybody_each_has_one_and_passes_on_none(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(5)]

    wakeups.wake_all()
    looks = 0
    while any(woken := awake(waiters)):
        looks += sum(woken)
        for waiter in waiters:
            waiter.pass_on()

    assert looks == 5


def test_of_a_wake_up_for_everybody_one_of_a_topic_is_not_lost(wakeups: Wakeups) -> None:
    waiters = [wakeups.subscribe(["a"]) for _ in range(2)]

    wakeups.wake_all()
    wakeups.publish(["a"])
    assert awake(waiters) == [True, True]
    waiters[0].pass_on()

    assert awake(waiters) == [False, True]


def test_who_leaves_without_looking_gives_its_wake_up_to_the_next(wakeups: Wakeups) -> None:
    first, second = wakeups.subscribe(["a"]), wakeups.subscribe(["a"])
    wakeups.publish(["a"])

    first.close()

    assert second.wait(0) is True


def test_closing_twice_does_no_harm(wakeups: Wakeups) -> None:
    first, second = wakeups.subscribe(["a"]), wakeups.subscribe(["a"])

    first.close()
    first.close()
    wakeups.publish(["a"])

    assert second.wait(0) is True


def test_counters_may_wrap_around(wakeups: Wakeups) -> None:
    wakeups.publish(["a"])
    for index in range(len(wakeups._counters)):
        wakeups._counters[index] = (1 << 64) - 1
    waiters = [wakeups.subscribe(["a"]) for _ in range(3)]

    wakeups.publish(["a", "a"])

    assert awake(waiters) == [True, True, False]


def test_the_watcher_runs_only_while_somebody_waits(
    wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch, wait_until: Any
) -> None:
    monkeypatch.setattr(wakeups_module, "_LINGER_S", 0.0)

    def watched() -> bool:
        return wakeups._local.watcher is not None

    assert not watched()
    with wakeups.subscribe(["a"]):
        assert watched()
    wait_until(lambda: not watched())
    with wakeups.subscribe(["a"]) as waiter:
        wakeups.publish(["a"])
        assert waiter.wait(PATIENCE_S) is True


def test_a_commit_in_another_process_wakes_a_waiter_here(
    db: SqliteDatabase, wakeups: Wakeups, fork: ForkContext
) -> None:
    go = fork.Event()

    def work() -> None:
        assert go.wait(PATIENCE_S)
        with db.write() as tx:
            tx.wake("a")

    child = fork.Process(target=work)
    child.start()
    waiters = [wakeups.subscribe(["a"]) for _ in range(2)]
    go.set()

    assert waiters[0].wait(PATIENCE_S) is True
    assert waiters[1].wait(0) is False
    child.join(PATIENCE_S)
    assert child.exitcode == 0


def test_a_forked_process_waits_for_itself(
    db: SqliteDatabase, wakeups: Wakeups, fork: ForkContext
) -> None:
    inherited = wakeups.subscribe(["a"])
    ready = fork.Event()

    def work() -> None:
        with wakeups.subscribe(["a"]) as waiter:
            ready.set()
            assert waiter.wait(PATIENCE_S) is True
            assert inherited.wait(0) is False

    child = fork.Process(target=work)
    child.start()
    assert ready.wait(PATIENCE_S)
    with db.write() as tx:
        tx.wake("a")
    child.join(PATIENCE_S)

    assert child.exitcode == 0
    assert inherited.wait(0) is True


def test_a_deleted_file_is_made_again_and_wakes_go_on(
    wakeups: Wakeups, db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "_LOOK_AGAIN_S", 0.0)
    path = Path(f"{db.path}-wake")
    with wakeups.subscribe(["a"]) as waiter:
        path.unlink()
        Wakeups(db.path).publish(["a"])

        assert waiter.wait(PATIENCE_S) is True
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_has_its_whole_size_on_disk(wakeups: Wakeups, db: SqliteDatabase) -> None:
    wakeups.publish(["a"])
    path = Path(f"{db.path}-wake")

    assert path.stat().st_blocks * 512 >= path.stat().st_size > 0
    assert sum(struct.unpack("1025Q", path.read_bytes())) == 2


def test_a_folder_that_cannot_be_written_costs_only_the_other_processes(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    wakeups = Wakeups(str(tmp_path / "file" / "tickets.db"))

    with wakeups.subscribe(["a"]) as waiter:
        wakeups.publish(["a"])

        assert waiter.wait(0) is True
