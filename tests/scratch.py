"""Worlds for tests that need many, one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import FrozenClock
from tests.databases import SQLITE, Kind, fresh_database
from tests.worlds import World


@contextmanager
def scratch_world() -> Iterator[tuple[World, FrozenClock]]:
    """Give a world of its own and its clock; nothing of it is left."""
    # Nobody pulls a plug here.
    options: dict[str, Any] = {"durability": "normal"} if Kind.chosen == SQLITE else {}
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_database(Path(folder), **options) as database,
    ):
        clock = FrozenClock()
        yield World(database, clock), clock
