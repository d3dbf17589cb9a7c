"""Databases of other programs: opened for reading only, of whatever shape they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from tickets.errors import Invalid

_BUSY_TIMEOUT_S: Final = 5.0
_FETCH_ROWS: Final = 500
# Bytes 18 and 19 of a database file are 2 where it is in WAL mode.
# Source: https://sqlite.org/fileformat.html, section "The Database Header".
_WAL_MODE: Final = b"\x02\x02"


class ForeignDatabase:
    r"""One consistent view of another program's SQLite file, as long as its block lasts.

    What is no text here comes written as ``\xNN``: bytes that are not UTF-8, and U+0000.
    ``repaired`` counts the values in which that happened.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._columns: dict[str, frozenset[str]] = {}
        self.repaired = 0
        connection.text_factory = self._text

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of a table's columns; empty where there is no such table."""
        if table not in self._columns:
            # A view could compute anything, so only what is stored as a table is looked at.
            is_there = self._all(
                "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", table
            )
            found = (
                self._all("SELECT name FROM pragma_table_info(?)", table) if is_there else []
            )
            self._columns[table] = frozenset(row[0] for row in found)
        return self._columns[table]

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        *,
        newest_first: str | None = None,
        above: tuple[str, int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table in the order of their creation, never all at once.

        Columns that the table lacks are None; a missing table has no rows. ``newest_first``
        names a column to sort by, ``above`` keeps the rows in which a column is greater.
        """
        known = self.columns(table)
        if not known:
            return
        shown = ", ".join(_quoted(name) if name in known else "NULL" for name in columns)
        order = "rowid" if newest_first is None else f"{_quoted(newest_first)} DESC, rowid DESC"
        condition, values = _above(above)
        sql = f"SELECT {shown} FROM {_quoted(table)}{condition} ORDER BY {order}"  # noqa: S608  # quoted names of ours
        with self._told(), closing(self._connection.execute(sql, values)) as cursor:
            while found := cursor.fetchmany(_FETCH_ROWS):
                for row in found:
                    yield dict(zip(columns, row, strict=True))

    def count(self, table: str) -> int:
        """Return the number of rows; 0 for a missing table."""
        if not self.columns(table):
            return 0
        return int(self._all(f"SELECT COUNT(*) FROM {_quoted(table)}")[0][0])  # noqa: S608  # a quoted name of ours

    def extent(self, table: str, column: str, *, above: int) -> tuple[int, int] | None:
        """Return the lowest and the highest value of a column greater than ``above``."""
        if column not in self.columns(table):
            return None
        name, (condition, values) = _quoted(column), _above((column, above))
        sql = f"SELECT MIN({name}), MAX({name}) FROM {_quoted(table)}{condition}"  # noqa: S608  # quoted names of ours
        lowest, highest = self._all(sql, *values)[0]
        return None if lowest is None else (int(lowest), int(highest))

    def orphans(self) -> int:
        """Return how many rows refer to a row that is not there."""
        return len(self._all("PRAGMA foreign_key_check"))

    def _all(self, sql: str, *values: object) -> list[Any]:
        with self._told():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Invalid(f"{self._path} cannot be read: {error}") from error

    def _text(self, value: bytes) -> str:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            self.repaired += 1
            text = value.decode(errors="backslashreplace")
            return text.replace("\0", "\\x00")
        if "\0" in text:
            self.repaired += 1
            text = text.replace("\0", "\\x00")
        return text


@contextmanager
def open_foreign(path: Path) -> Iterator[ForeignDatabase]:
    """Open another program's database; nothing of it is changed, nor anything beside it.

    Its program may go on working where a write-ahead log lies beside the file. Without one
    the file is taken as it lies there: reading it in the usual way would create a log.
    Raises Invalid where it is no database, or was opened by its program meanwhile.
    """
    is_still = _is_at_rest(path)
    mode = "immutable=1" if is_still else "mode=ro"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
        )
    except sqlite3.Error as error:
        raise Invalid(f"{path} cannot be opened: {error}") from error
    with closing(connection):
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            # The view begins with the first read.
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            raise Invalid(f"{path} cannot be read as a database: {error}") from error
        yield ForeignDatabase(connection, path)
        if is_still and not _is_at_rest(path):
            raise Invalid(f"{path} was opened by its program meanwhile; stop it and try again")


def _is_at_rest(path: Path) -> bool:
    """Tell whether a file in WAL mode has no log, so that nobody has it open."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise Invalid(f"{path} cannot be opened: {error.strerror}") from error
    return header[18:20] == _WAL_MODE and not Path(f"{path}-wal").exists()


def _above(above: tuple[str, int] | None) -> tuple[str, tuple[int, ...]]:
    if above is None:
        return "", ()
    return f" WHERE {_quoted(above[0])} > ?", (above[1],)


def _quoted(name: str) -> str:
    assert name.isidentifier(), f"{name!r} is no name of a table or column"
    return f'"{name}"'
