"""A database file that a server has left behind: whole, and true to every invariant."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.process.crowd import check_file
from tests.worlds import INVARIANTS


def check_home(home: Path) -> None:
    """Assert that ``home``/t.db, which no server has open, is as it should be."""
    check_file(home)
    with closing(sqlite3.connect(home / "t.db")) as database:
        for name, query in INVARIANTS.items():
            assert database.execute(query).fetchall() == [], name
