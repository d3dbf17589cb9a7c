"""Worlds for tests that need many, one after the other."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import FrozenClock
from tests.factories import EPOCH_MS
from tests.worlds import World
from tickets.db.migrations import migrate
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups


@functools.cache
def _registry() -> Registry:
    return Registry.load(sql_root(), "sqlite")


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickets.db"
        database = SqliteDatabase(str(path), registry=_registry())
        migrate(database, sql_root(), EPOCH_MS)
        database.close()
        return path.read_bytes()


@contextmanager
def scratch_world() -> Iterator[tuple[World, FrozenClock]]:
    """Give a world of its own and its clock; nothing of it is left."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickets.db"
        path.write_bytes(_migrated())
        database = SqliteDatabase(
            str(path),
            registry=_registry(),
            durability="normal",
            wakeups=Wakeups(str(path)),
        )
        clock = FrozenClock()
        try:
            yield World(database, clock), clock
        finally:
            database.close()
