"""The tables of a SQLite file."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from tickets.db.sqlite_transaction import SqliteTransaction
from tickets.db.tables import Table, Values


class SqliteTables:
    """Every table but those of SQLite itself and those of its full-text indexes."""

    def __init__(self, tx: SqliteTransaction) -> None:
        self._tx = tx

    def found(self) -> dict[str, Table]:
        """Return all tables by name; columns in alphabetical order, but for computed ones."""
        with self._tx.raw("tables") as connection:
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM pragma_table_list"
                    " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite!_%'"
                    " ESCAPE '!'"
                )
            ]
            return {name: self._table(name) for name in names}

    def _table(self, name: str) -> Table:
        with self._tx.raw(name) as connection:
            columns = connection.execute(
                "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (name,)
            ).fetchall()
            parents = connection.execute(
                'SELECT "table" FROM pragma_foreign_key_list(?)', (name,)
            ).fetchall()
        return Table(
            name,
            tuple(sorted(column for (column,) in columns)),
            frozenset(parent for (parent,) in parents),
        )

    def hold(self, names: Iterable[str]) -> None:
        """Do nothing: whoever is in a write block is the only writer there is."""

    def rows(self, table: Table) -> Generator[Values]:
        """Yield every row, in any order."""
        columns = ", ".join(map(_quoted, table.columns))
        with self._tx.raw(table.name) as connection:
            yield from connection.execute(
                f"SELECT {columns} FROM {_quoted(table.name)}"  # noqa: S608 - quoted names
            )

    def add(self, table: Table, rows: Iterable[Values]) -> None:
        """Insert rows as they are."""
        columns = ", ".join(map(_quoted, table.columns))
        places = ", ".join("?" * len(table.columns))
        with self._tx.raw(table.name) as connection:
            connection.executemany(
                f"INSERT INTO {_quoted(table.name)} ({columns})"  # noqa: S608 - quoted names
                f" VALUES ({places})",
                rows,
            )

    @contextmanager
    def without_triggers(self, names: Sequence[str]) -> Iterator[None]:
        """Drop the triggers of these tables and make them again: there is no other way."""
        with self._tx.raw("triggers") as connection:
            triggers = connection.execute(
                "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            mine = [(name, text) for name, table, text in triggers if table in names]
            for name, _ in mine:
                connection.execute(f"DROP TRIGGER {_quoted(name)}")
        yield
        with self._tx.raw("triggers") as connection:
            for _, text in mine:
                connection.execute(text)

    def counters(self) -> dict[str, int]:
        """Return the highest number given to a row of each table that counts for ever."""
        with self._tx.raw("counters") as connection:
            return dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())

    def raise_counters(self, least: dict[str, int]) -> None:
        """Let every table that counts for ever go on above ``least``.

        That it goes on above its rows is SQLite's own care.
        """
        with self._tx.raw("counters") as connection:
            counting = connection.execute(
                "SELECT name FROM sqlite_schema"
                " WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
            ).fetchall()
            known = self.counters()
            for (name,) in counting:
                value = max(known.get(name, 0), least.get(name, 0))
                connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                connection.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, value)
                )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
