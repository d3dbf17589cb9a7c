"""A database that a server has left behind: whole, and true to every invariant."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests import databases
from tests.process.crowd import check_database
from tests.worlds import World
from tickets.clock import SystemClock


def check_home(home: Path) -> None:
    """Assert that the database of ``home``, which no server has open, is as it should be."""
    check_database(home)
    with closing(databases.open_home(home)) as database:
        World(database, SystemClock()).check()
