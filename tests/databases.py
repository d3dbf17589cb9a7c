"""Databases for tests, of the kind that the run was started for (``--database``)."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from tests.factories import EPOCH_MS
from tests.pooler import Pooler, running_pooler
from tests.postgres_server import PostgresServer, running_server
from tickets.app import UPKEEP
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.postgres_database import PostgresDatabase
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups

SQLITE, POSTGRES = "sqlite", "postgres"
# PostgreSQL behind a pooler in transaction mode.
PGBOUNCER = "pgbouncer"

_TEMPLATE = "migrated"
# A tenth of the time that a new copy of the template takes.
_EMPTY = """
DO $$
DECLARE
    found RECORD;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR found IN SELECT tablename FROM pg_tables
                  WHERE schemaname = current_schema() AND tablename <> 'schema_migrations'
    LOOP
        EXECUTE format('DELETE FROM %I', found.tablename);
    END LOOP;
    FOR found IN SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema()
    LOOP
        EXECUTE format('ALTER SEQUENCE %I RESTART', found.sequencename);
    END LOOP;
END
$$"""


class Kind:
    """Which kind of database this run is for; set once, before any test."""

    chosen = SQLITE
    is_pooled = False

    @classmethod
    def choose(cls, name: str) -> None:
        """Take one of the words of ``--database``."""
        cls.is_pooled = name == PGBOUNCER
        cls.chosen = POSTGRES if cls.is_pooled else name


@functools.cache
def registry(kind: str) -> Registry:
    """Return the statements of a kind of database."""
    return Registry.load(sql_root(), kind)


@contextmanager
def fresh_database(folder: Path, **options: Any) -> Iterator[Database]:
    """Give a migrated database without rows, of the kind that was chosen."""
    place = fresh_place(folder)
    database = open_place(place, **options)
    try:
        yield database
    finally:
        database.close()
        if isinstance(place, str):
            drop(place)


def fresh_place(folder: Path) -> Path | str:
    """Make a migrated database without rows; return its path or URL."""
    if Kind.chosen == SQLITE:
        path = folder / "tickets.db"
        path.write_bytes(_migrated_file())
        return path
    return fresh_url()


def open_place(place: Path | str, **options: Any) -> Database:
    """Open a database, perhaps a second time."""
    if isinstance(place, str):
        if Kind.is_pooled:
            options.setdefault("direct_url", server().url(name_of(place)))
        return PostgresDatabase(place, registry=registry(POSTGRES), upkeep=UPKEEP, **options)
    return SqliteDatabase(
        str(place), registry=registry(SQLITE), wakeups=Wakeups(str(place)), **options
    )


def fresh_url() -> str:
    """Return the URL of a migrated PostgreSQL database without rows, an old one if possible."""
    if _Servers.free:
        url = _Servers.free.pop()
        _empty(url)
        return url
    name = f"test_{next(_numbers)}"
    _migrated_server().execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    return _url(name)


@contextmanager
def empty_database(path: Path) -> Iterator[Database]:
    """Give a database without tables, of the kind that was chosen."""
    place = path if Kind.chosen == SQLITE else empty_url()
    database = open_place(place)
    try:
        yield database
    finally:
        database.close()
        if isinstance(place, str):
            drop(place, keep=False)


def empty_url() -> str:
    """Make a PostgreSQL database without tables; return its URL."""
    name = f"test_{next(_numbers)}"
    server().execute(f"CREATE DATABASE {name}")
    return _url(name)


def of_home(home: Path) -> str:
    """Return the name of the database of a service in this folder, as ``--db`` wants it.

    A file in it, which may not be there yet, or else a migrated database of the same test.
    """
    if Kind.chosen == SQLITE:
        return "t.db"
    if home not in _Servers.homes:
        _Servers.homes[home] = fresh_url()
    return _Servers.homes[home]


@contextmanager
def tablespace_of_home(home: Path, place: Path) -> Iterator[None]:
    """Let the database of a service in ``home`` have its tables in another folder."""
    number = next(_numbers)
    name, space = f"test_{number}", f"space_{number}"
    _migrated_server().own(place)
    server().execute(f"CREATE TABLESPACE {space} LOCATION '{place}'")
    server().execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} TABLESPACE {space}")
    _Servers.homes[home] = server().url(name)
    try:
        yield
    finally:
        leave_homes(home)
        server().execute(f"DROP TABLESPACE {space}")


def open_home(home: Path) -> Database:
    """Open the database of a service in this folder, beside the service or after it."""
    name = of_home(home)
    return open_place(home / name if Kind.chosen == SQLITE else name)


def leave_homes(folder: Path) -> None:
    """Drop the databases of services in a folder and below it."""
    for home in [home for home in _Servers.homes if home.is_relative_to(folder)]:
        # Nobody knows what was done to it, so no other test gets it.
        drop(_Servers.homes.pop(home), keep=False)


def drop(url: str, *, keep: bool = True) -> None:
    """Take back a database; whoever still has it open is thrown out."""
    name = name_of(url)
    if not Kind.is_pooled:
        # What a pooler holds is not the test's, and would be handed to the next.
        server().execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    if keep:
        _Servers.free.append(url)
    else:
        server().execute(f"DROP DATABASE {name} WITH (FORCE)")


def name_of(url: str) -> str:
    """Return the name of a database on the server of this process."""
    return url.partition("@/")[2].partition("?")[0]


def server() -> PostgresServer:
    """Return the server of this process, which is started on first use."""
    if _Servers.running is None:
        _Servers.running = _Servers.stack.enter_context(running_server())
    return _Servers.running


def _url(name: str) -> str:
    """Return how tests reach a database of the server."""
    if not Kind.is_pooled:
        return server().url(name)
    if _Servers.pooler is None:
        _Servers.pooler = _Servers.stack.enter_context(running_pooler(server()))
    return _Servers.pooler.url(name)


def stop_server() -> None:
    """Stop the server, if there was one."""
    _Servers.stack.close()


def _empty(url: str) -> None:
    """Delete every row, without triggers, and let all numbers begin anew."""
    with psycopg.connect(server().url(name_of(url))) as connection:
        connection.execute(_EMPTY)


class _Servers:
    stack = ExitStack()
    running: PostgresServer | None = None
    pooler: Pooler | None = None
    free: ClassVar[list[str]] = []
    homes: ClassVar[dict[Path, str]] = {}


_numbers = itertools.count(1)


@functools.cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickets.db"
        database = SqliteDatabase(str(path), registry=registry(SQLITE))
        migrate(database, sql_root(), EPOCH_MS)
        database.close()
        return path.read_bytes()


@functools.cache
def _migrated_server() -> PostgresServer:
    server().execute(f"CREATE DATABASE {_TEMPLATE}")
    database = PostgresDatabase(server().url(_TEMPLATE), registry=registry(POSTGRES))
    migrate(database, sql_root(), EPOCH_MS)
    database.close()
    return server()
