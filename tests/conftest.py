"""Fixtures that every layer shares: a frozen clock, a migrated database, an HTTP client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestApp, TestRequest

from tests import databases, drills
from tests.factories import EPOCH_MS, Factory
from tests.worlds import World
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.db.registry import Registry

API_TOKEN = "the-api-token"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=(databases.SQLITE, databases.POSTGRES, databases.PGBOUNCER),
        default=databases.SQLITE,
        help="the kind of database that tests get which can do with any",
    )


def pytest_configure(config: pytest.Config) -> None:
    databases.Kind.choose(config.getoption("--database"))


def pytest_report_header() -> str | None:
    return None if drills.SEED is None else f"seeded: {drills.words()} repeats it"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say below a failure what repeats it."""
    report = yield
    if report.failed and drills.SEED is not None:
        database = item.config.getoption("--database")
        command = f"{drills.words()} pytest --database {database} '{item.nodeid}'"
        report.sections.append(("The same again", command))
    return report


def pytest_unconfigure() -> None:
    databases.stop_server()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other kind of database."""
    other = {databases.SQLITE: "postgres", databases.POSTGRES: "sqlite"}
    foreign = other[databases.Kind.chosen]
    left_out = [item for item in items if item.get_closest_marker(foreign) is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


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


class Request(TestRequest):
    """A request that keeps its target as written in RAW_URI, as gunicorn does.

    ``tests.raw_path`` in its environment takes the place of a target that is no text.
    """

    @classmethod
    def blank(cls, path: str, *args: Any, **kwargs: Any) -> Any:
        """Make a request for a target."""
        request = super().blank(path, *args, **kwargs)
        request.environ["RAW_URI"] = request.environ.pop("tests.raw_path", path)
        return request


class Client(TestApp):
    """A WebTest client whose server sees the target as written."""

    RequestClass: Any = Request

    if TYPE_CHECKING:
        # Their stubs leave out bodies of bytes, which are sent as they are.
        post: Any
        put: Any


@pytest.fixture(autouse=True)
def homes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop the databases of the services that a test has started, after them."""
    yield
    # There are no arguments left where the run was interrupted.
    folder = (request.node.funcargs or {}).get("tmp_path")
    if folder is not None:
        databases.leave_homes(folder)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(scope="session")
def registry() -> Registry:
    return databases.registry(databases.Kind.chosen)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with databases.fresh_database(tmp_path) as database:
        yield database


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


@pytest.fixture
def serve(db: Database, settings: Settings, clock: FrozenClock) -> Callable[..., Client]:
    """Return a function that serves the same database with other settings."""

    def with_settings(**changed: Any) -> Client:
        chosen = replace(settings, **changed)
        return Client(Application(db, chosen, clock, random_unit=lambda: 0.5))

    return with_settings


@pytest.fixture
def secured(serve: Callable[..., Client]) -> Client:
    """Return a client of a server that wants API_TOKEN, which this client does not send."""
    return serve(api_token=API_TOKEN)


@pytest.fixture
def world(db: Database, clock: FrozenClock) -> World:
    return World(db, clock)
