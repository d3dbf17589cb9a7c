"""Fixtures that every layer shares: a frozen clock, a migrated database, an HTTP client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from tests.factories import Factory
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.registry import Registry, sql_root
from tickets.db.wakeups import Wakeups

EPOCH_MS = 1_700_000_000_000


class FrozenClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now_ms: int = EPOCH_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the time it stands at."""
        return self._now_ms

    def advance(self, *, ms: int) -> None:
        """Move it, back too."""
        self._now_ms += ms


class Client(TestApp):
    """A WebTest client that sends the target as written, as a real server sees it."""

    def do_request(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        """Set RAW_URI, which gunicorn sets and WebTest does not."""
        query = req.environ.get("QUERY_STRING", "")
        raw = req.environ.pop("tests.raw_path", None) or req.environ.get("tests.target")
        if raw is not None:
            req.environ["RAW_URI"] = raw + (f"?{query}" if query else "")
        return super().do_request(req, *args, **kwargs)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    path = str(tmp_path / "tickets.db")
    database = Database(
        path, registry=Registry.load(sql_root(), "sqlite"), wakeups=Wakeups(path)
    )
    migrate(database, sql_root(), EPOCH_MS)
    yield database
    database.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(db=tmp_path / "tickets.db", wait_slots=0)


@pytest.fixture
def app(db: Database, settings: Settings, clock: FrozenClock) -> Application:
    return Application(db, settings, clock, random_unit=lambda: 0.5)


@pytest.fixture
def client(app: Application) -> Client:
    return Client(app)


@pytest.fixture
def make(client: Client) -> Factory:
    return Factory(client)
