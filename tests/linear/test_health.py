"""How the sync goes: what people see of it, and how often the log says so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.conftest import FrozenClock
from tests.linear.faults import SERVER_ERROR, refusal
from tests.linear.mirror import LINEAR, Json, Mirror
from tests.linear.stand_in import StandIn
from tests.process.serving import eventually
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database

FAILS = "sync of workspace w with Linear fails: "
WORKS = "sync of workspace w with Linear works again"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def shown(mirror: Mirror) -> Json:
    answer: Json = mirror.client.get(LINEAR, status=200).json
    return answer


def test_trouble_is_told_once_until_it_is_over(
    mirror: Mirror, told: pytest.LogCaptureFixture
) -> None:
    assert shown(mirror)["last_success_at_ms"] is None
    ticket = mirror.mirrored()
    worked_at_ms = shown(mirror)["last_success_at_ms"]
    assert 0 < worked_at_ms <= mirror.clock.now_ms()
    mirror.linear.faults.extend([SERVER_ERROR] * 3)
    mirror.patch(ticket["id"], title="New")

    for _ in range(3):
        mirror.clock.advance(ms=5_000)
        assert mirror.push() == 1
        now = shown(mirror)
        assert (now["last_error"], now["last_success_at_ms"]) == ("HTTP 500", worked_at_ms)
        assert now["last_error_at_ms"] == mirror.clock.now_ms()
    assert told.messages == [f"{FAILS}HTTP 500"]

    mirror.clock.advance(ms=5_000)
    mirror.settle()
    now = shown(mirror)
    assert (now["status"], now["last_error"]) == ("ok", None)
    assert now["last_error_at_ms"] < now["last_success_at_ms"]
    assert told.messages == [f"{FAILS}HTTP 500", WORKS]


@pytest.mark.parametrize("way", ["poll", "pull", "verify"])
def test_each_way_of_asking_linear_notes_how_it_goes(
    way: str, mirror: Mirror, told: pytest.LogCaptureFixture
) -> None:
    ticket = mirror.mirrored()
    reconcile = mirror.app.lifecycle.reconcile

    def ask(status: int) -> None:
        if way == "verify":
            mirror.client.post(f"{LINEAR}/verify", status=status)
        elif way == "poll":
            mirror.client.post(f"{LINEAR}/reconcile", status=202)
            assert reconcile.poll_due() == 1
        else:
            path = f"/tickets/{ticket['id']}/sync"
            mirror.client.post(path, headers=mirror.headers, status=202)
            assert reconcile.pull_due() == 1

    mirror.linear.faults.append(SERVER_ERROR)
    ask(502)
    assert shown(mirror)["last_error"] == "HTTP 500"
    ask(200)
    assert shown(mirror)["last_error"] is None
    assert told.messages == [f"{FAILS}HTTP 500", WORKS]


def test_a_key_that_is_refused_is_news_where_linear_was_away_before(
    mirror: Mirror, told: pytest.LogCaptureFixture
) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.append(SERVER_ERROR)
    mirror.patch(ticket["id"], title="New")
    mirror.push()
    mirror.linear.key = "another"

    mirror.clock.advance(ms=5_000)
    mirror.push()

    assert len(told.messages) == 2
    assert told.messages[1].startswith(FAILS)
    assert shown(mirror)["status"] == "auth_failed"
    mirror.connect(api_key="another")
    assert (shown(mirror)["status"], shown(mirror)["last_error"]) == ("ok", None)


def test_what_linear_says_fills_no_log(mirror: Mirror, told: pytest.LogCaptureFixture) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.append(refusal(400, "line\n" * 500, type="invalid input"))
    mirror.patch(ticket["id"], title="New")

    mirror.push()

    [message] = told.messages
    assert message.startswith(f"{FAILS}line line")
    assert len(message) < 500
    assert "\n" not in message


def test_a_worker_without_the_key_says_so_once(
    mirror: Mirror,
    db: Database,
    clock: FrozenClock,
    tmp_path: Path,
    linear: StandIn,
    told: pytest.LogCaptureFixture,
) -> None:
    mirror.create()
    settings = Settings(db=Path("unused"), sealing_key_file=tmp_path / "other")
    worker = Application(db, settings, clock, linear=linear).sync_worker
    troubles = worker._troubles

    for _ in range(3):
        mirror.client.post(f"{LINEAR}/reconcile", status=202)
        worker._read()
        # Nothing is due, which is no sign that the key is there.
        worker._read()

    assert troubles == {"poll": "secrets_unreadable"}
    assert len([each for each in told.messages if "(poll)" in each]) == 1
    assert len([each for each in told.messages if "key file" in each]) == 2


def test_a_service_that_is_away_is_seen_by_the_worker(mirror: Mirror) -> None:
    ticket = mirror.create()
    mirror.linear.faults.append(SERVER_ERROR)
    mirror.app.sync_worker.start()
    try:
        assert eventually(lambda: shown(mirror)["last_error"] == "HTTP 500")
        mirror.clock.advance(ms=5_000)
        assert eventually(lambda: mirror.get(ticket["id"])["sync"]["state"] == "synced")
        assert eventually(lambda: shown(mirror)["last_error"] is None)
    finally:
        mirror.app.sync_worker.stop()
        thread = mirror.app.sync_worker._thread
        assert thread is not None
        thread.join(10)
