"""What a process does besides requests."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import FrozenClock
from tests.factories import Factory
from tickets.app import Application
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
