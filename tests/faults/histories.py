"""A database at work that is being recorded, and what was answered meanwhile."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.factories import EPOCH_MS, REVIEW
from tests.faults.recorder import recording
from tests.faults.steps import Answered, Recording
from tests.worlds import World
from tickets.config import Settings
from tickets.db import sqlite, sqlite_database
from tickets.db.migrations import migrate
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite import Durability
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups
from tickets.housekeeping import Housekeeping

# A log of so many bytes is checkpointed: a short recording then holds several checkpoints.
CHECKPOINT_WAL_BYTES = 100_000


class TickingClock:
    """A clock that shows each millisecond once, so that rows tell when they were written."""

    def __init__(self) -> None:
        self._ticks = itertools.count(EPOCH_MS)

    def now_ms(self) -> int:
        """Return the next millisecond."""
        return next(self._ticks)


class Answer(NamedTuple):
    """A write that was answered, and the query that finds a row from then on."""

    agent: str
    sql: str
    values: tuple[Any, ...]


class History:
    """A database at work, what is done to its files, and what was answered."""

    def __init__(self, recorded: Recording, durability: Durability) -> None:
        self._durability = durability
        self._mutex = threading.Lock()
        self._clock = TickingClock()
        self._recorded = recorded
        self.path = recorded.folder / "t.db"
        self.steps = recorded.steps
        self.answers: list[Answer] = []
        self.begun = 0
        self._open()
        migrate(self.world.db, sql_root(), EPOCH_MS)
        self.pipeline_id = self.world.pipeline(REVIEW)
        # What was done until here is on the disk, however durable the rest may be.
        self.world.file.checkpoint(truncate=True)
        self.begun = len(self.steps)

    def answer(self, agent: str, sql: str, *values: Any) -> None:
        """Note that an agent's write was answered."""
        with self._mutex:
            self.steps.append(Answered(len(self.answers)))
            self.answers.append(Answer(agent, sql, values))

    def restart(self) -> None:
        """Stop the service and start it again."""
        self.world.db.close()
        self._open()

    def _open(self) -> None:
        db = open_database(self.path, durability=self._durability)
        self.world = World(db, self._clock)
        settings = Settings(db=self.path)
        self.housekeeping = Housekeeping(db, self._clock, self.world.do.readiness, settings)


def open_database(path: Path, *, durability: Durability = "full") -> SqliteDatabase:
    """Open a database as the service does."""
    wakeups = Wakeups(str(path))
    return SqliteDatabase(
        str(path), registry=_registry(), durability=durability, wakeups=wakeups
    )


@functools.cache
def _registry() -> Registry:
    return Registry.load(sql_root(), "sqlite")


@contextmanager
def history(folder: Path, durability: Durability) -> Iterator[History]:
    """Record a new database; the block does the work."""
    limit = mock.patch.object(sqlite_database, "CHECKPOINT_WAL_BYTES", CHECKPOINT_WAL_BYTES)
    kept = mock.patch.object(sqlite, "KEPT_LOG_BYTES", CHECKPOINT_WAL_BYTES)
    with limit, kept, recording(folder) as recorded:
        made = History(recorded, durability)
        try:
            yield made
        finally:
            made.world.db.close()
