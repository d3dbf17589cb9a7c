"""The tables of a database as its catalogue describes them, for a copy of all there is.

This is the one place where SQL is made from names and not read from a file: a copy has to hold
whatever tables and columns the migrations have made by then. Each name comes from a catalogue
and is quoted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Values: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what is stored in it, and which tables its rows refer to."""

    name: str
    columns: tuple[str, ...]
    parents: frozenset[str]


class Tables(Protocol):
    """Every table, inside one write block."""

    def found(self) -> dict[str, Table]:
        """Return all tables by name; columns in alphabetical order, but for computed ones."""

    def hold(self, names: Iterable[str]) -> None:
        """Let nobody else write to these tables until the block ends. Raises Busy."""

    def rows(self, table: Table) -> Generator[Values]:
        """Yield every row, in any order."""

    def add(self, table: Table, rows: Iterable[Values]) -> None:
        """Insert rows as they are. Raises ConstraintViolated and others of the family."""

    def without_triggers(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Let the triggers of these tables rest inside the block."""

    def counters(self) -> dict[str, int]:
        """Return the highest number given to a row of each table that counts for ever."""

    def raise_counters(self, least: dict[str, int]) -> None:
        """Let every table count on above its rows, and above ``least``."""
