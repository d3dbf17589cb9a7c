"""What a process does besides requests."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from tests.conftest import FrozenClock
from tests.factories import Factory
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.errors import Busy


def test_expired_leases_and_due_retries_are_handled_without_a_claim(
    app: Application, make: Factory, clock: FrozenClock, db: Database
) -> None:
    expired = make.task(retry_policy={"retry_delay_ms": 50})
    make.claim(lease_ttl_ms=10)

    clock.advance(ms=10)
    app.housekeeping.advance_readiness()
    with db.read() as tx:
        delayed = tx.one("tasks.get", task_id=expired)
    clock.advance(ms=50)
    app.housekeeping.advance_readiness()
    with db.read() as tx:
        ready = tx.one("tasks.get", task_id=expired)

    assert delayed is not None
    assert ready is not None
    assert (delayed["is_leased"], delayed["is_delayed"]) == (0, 1)
    assert (ready["is_leased"], ready["is_delayed"]) == (0, 0)


def test_what_is_done_now_and_then_is_registered(app: Application) -> None:
    jobs = {work.__qualname__: period_s for period_s, work in app.housekeeping._jobs}

    assert jobs == {
        "Housekeeping.apply_retention": 60.0,
        "Housekeeping.watch": 30.0,
        "Sweep.sweep_tickets": 5.0,
        "SyncWorker.prune": 60.0,
    }


def test_a_watchdog_that_is_off_does_nothing(
    db: Database, settings: Settings, clock: FrozenClock
) -> None:
    off = replace(settings, ledger_watchdog_interval_ms=0)

    app = Application(db, off, clock)

    assert "watch" not in [work.__name__ for _, work in app.housekeeping._jobs]


def test_each_job_is_done_once_a_period_whatever_another_does(app: Application) -> None:
    done = threading.Event()
    calls: list[str] = []

    def broken() -> None:
        calls.append("broken")
        raise RuntimeError

    def last() -> None:
        calls.append("last")
        if calls.count("last") == 2:
            done.set()

    app.housekeeping.every(1e9, broken)
    app.housekeeping.every(0, last)
    app.housekeeping.start()
    try:
        assert done.wait(30)
    finally:
        app.housekeeping.stop()

    assert calls[:3] == ["broken", "last", "last"]


def test_a_trouble_that_lasts_is_logged_once_and_its_end_too(
    app: Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def busy() -> None:
        raise Busy

    def fine() -> None:
        pass

    fine.__name__ = busy.__name__
    for work in (busy, busy, busy, fine, fine):
        app.housekeeping.guarded(work)

    assert [record.getMessage() for record in caplog.records] == [
        f"busy: {Busy.message}",
        "busy: works again",
    ]
