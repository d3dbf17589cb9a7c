"""One JSON line for each request, which never stands in a request's way."""

from __future__ import annotations

import io
import json

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import Factory
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.web import requests
from tickets.web.requests import RequestLog


class Broken(io.StringIO):
    """A stream whose disk is full until it is mended."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> RequestLog:
    return RequestLog(stream)


@pytest.fixture
def client(db: Database, settings: Settings, clock: FrozenClock, log: RequestLog) -> Client:
    return Client(Application(db, settings, clock, request_log=log))


def test_a_line_tells_route_status_and_request_id_and_no_secret(
    client: Client, make: Factory, log: RequestLog, stream: io.StringIO
) -> None:
    make.task()
    claim = make.claim()

    make.heartbeat(claim)

    log.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/pipelines", 201),
        ("POST", "/tasks", 201),
        ("POST", "/leases/claim", 200),
        ("POST", "/leases/{lease_id}/heartbeat", 200),
    ]
    assert all(line["request_id"] for line in lines)
    assert claim["lease_token"] not in stream.getvalue()


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    stream = Broken()
    log = RequestLog(stream)
    log.write({"n": 1})
    with pytest.raises(OSError, match="No space left"):
        log.flush()

    stream.is_full = False
    log.write({"n": 2})
    log.flush()

    assert stream.getvalue() == '{"n":2}\n'


def test_lines_that_nobody_takes_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LOG_QUEUE_LINES", 2)
    stream = io.StringIO()
    log = RequestLog(stream)

    for number in range(5):
        log.write({"n": number})
    log.flush()

    assert stream.getvalue() == '{"n":3}\n{"n":4}\n'
