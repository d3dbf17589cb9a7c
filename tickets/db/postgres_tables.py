"""The tables of a PostgreSQL database: those of the schema that names without one are of."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from psycopg.sql import SQL, Composed, Identifier

from tickets.db.postgres_transaction import PostgresTransaction
from tickets.db.tables import Table, Values
from tickets.errors import Invalid

# Rows that one question to the server brings.
_ROWS_AT_ONCE: Final = 2000

_COLUMNS: Final = """
SELECT table_name::text, column_name::text
  FROM information_schema.columns
  JOIN information_schema.tables USING (table_schema, table_name)
 WHERE table_schema = current_schema()
   AND table_type = 'BASE TABLE'
   AND is_generated = 'NEVER'"""
_PARENTS: Final = """
SELECT child.relname::text, parent.relname::text
  FROM pg_constraint
  JOIN pg_class AS child ON child.oid = conrelid
  JOIN pg_class AS parent ON parent.oid = confrelid
 WHERE contype = 'f'
   AND connamespace = current_schema()::regnamespace"""
_COUNTERS: Final = """
SELECT table_name::text, column_name::text,
       pg_get_serial_sequence(quote_ident(table_name), column_name)
  FROM information_schema.columns
 WHERE table_schema = current_schema()
   AND is_identity = 'YES'"""


class PostgresTables:
    """Every table of the schema."""

    def __init__(self, tx: PostgresTransaction) -> None:
        self._tx = tx

    def found(self) -> dict[str, Table]:
        """Return all tables by name; columns in alphabetical order, but for computed ones."""
        columns: dict[str, list[str]] = {}
        parents: dict[str, set[str]] = {}
        with self._tx.raw("tables") as connection:
            for table, column in connection.execute(_COLUMNS):
                columns.setdefault(table, []).append(column)
            for child, parent in connection.execute(_PARENTS):
                parents.setdefault(child, set()).add(parent)
        return {
            name: Table(name, tuple(sorted(of_it)), frozenset(parents.get(name, ())))
            for name, of_it in columns.items()
        }

    def hold(self, names: Iterable[str]) -> None:
        """Let nobody else write to these tables until the block ends. Raises Busy."""
        tables = SQL(", ").join(map(Identifier, sorted(names)))
        with self._tx.raw("hold") as connection:
            # Nothing is asked here while the other database works.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(tables))

    def rows(self, table: Table) -> Generator[Values]:
        """Yield every row, in any order."""
        query = SQL("SELECT {} FROM {}").format(_columns(table), Identifier(table.name))
        with self._tx.raw(table.name) as connection, connection.cursor("copied") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            yield from cursor.execute(query)

    def add(self, table: Table, rows: Iterable[Values]) -> None:
        """Insert rows as they are."""
        command = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), _columns(table))
        with self._tx.raw(table.name) as connection:
            with connection.cursor() as cursor, cursor.copy(command) as copy:
                for row in rows:
                    _check(table, row)
                    copy.write_row(row)
            # Or the first questions are answered by plans for an empty table.
            connection.execute(SQL("ANALYZE {}").format(Identifier(table.name)))

    @contextmanager
    def without_triggers(self, names: Sequence[str]) -> Iterator[None]:
        """Let the triggers of these tables rest, but for those that keep references."""
        self._switch(names, SQL("DISABLE"))
        yield
        self._switch(names, SQL("ENABLE"))

    def _switch(self, names: Sequence[str], word: SQL) -> None:
        with self._tx.raw("triggers") as connection:
            for name in names:
                connection.execute(
                    SQL("ALTER TABLE {} {} TRIGGER USER").format(Identifier(name), word)
                )

    def counters(self) -> dict[str, int]:
        """Return the highest number given to a row of each table that counts for ever."""
        found: dict[str, int] = {}
        with self._tx.raw("counters") as connection:
            for table, _, sequence in connection.execute(_COUNTERS).fetchall():
                row = connection.execute(
                    SQL("SELECT last_value, is_called FROM {}").format(_named(sequence))
                ).fetchone()
                assert row is not None, "a sequence always has its row"
                found[table] = row[0] if row[1] else 0
        return found

    def raise_counters(self, least: dict[str, int]) -> None:
        """Let every table count on above its rows, and above ``least``."""
        known = self.counters()
        with self._tx.raw("counters") as connection:
            for table, column, sequence in connection.execute(_COUNTERS).fetchall():
                row = connection.execute(
                    SQL("SELECT COALESCE(MAX({}), 0) FROM {}").format(
                        Identifier(column), Identifier(table)
                    )
                ).fetchone()
                assert row is not None, "a row of aggregates"
                value = max(row[0], known[table], least.get(table, 0))
                if value:
                    connection.execute("SELECT setval(%s::regclass, %s)", (sequence, value))


def _columns(table: Table) -> Composed:
    return SQL(", ").join(map(Identifier, table.columns))


def _named(sequence: str) -> Composed:
    """Return a name as the server gave it, schema and quotes included."""
    schema, name = (part.strip('"') for part in sequence.split("."))
    return SQL("{}").format(Identifier(schema, name))


def _check(table: Table, row: Values) -> None:
    """Refuse, in words that lead to the row, what every other database can store."""
    for column, value in zip(table.columns, row, strict=True):
        if isinstance(value, str) and "\0" in value:
            shown = dict(zip(table.columns, row, strict=True))
            key = next((shown[each] for each in ("id", "key", "name") if each in shown), row[0])
            raise Invalid(
                f"{table.name} {key!r}: {column} holds the character U+0000, which PostgreSQL"
                " cannot store"
            )
