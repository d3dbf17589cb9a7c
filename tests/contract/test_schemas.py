"""Both databases have the same tables, columns and indexes, but for what is named here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.databases import SQLITE, empty_url, open_place, registry
from tests.worlds import TABLES, looked_up
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.db.sqlite_database import SqliteDatabase

pytestmark = pytest.mark.postgres

# The index of words is FTS5 in SQLite, whose own tables lie behind it.
OF_SQLITE = re.compile(r"kv_search")
OF_POSTGRES = re.compile(r"kv_search|task_count_deltas")
COLUMNS = {
    "sqlite": """
        SELECT m.name, c.name, c."notnull" OR c.pk > 0
          FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c
         WHERE m.type = 'table'""",
    "postgres": """
        SELECT c.table_name, c.column_name, CASE WHEN c.is_nullable = 'NO' THEN 1 ELSE 0 END
          FROM information_schema.columns AS c
          JOIN information_schema.tables AS t USING (table_schema, table_name)
         WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'""",
}
# What a column of a view can be is known to one of the two only.
VIEWS = {
    "sqlite": """
        SELECT m.name, c.name
          FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c
         WHERE m.type = 'view' AND m.name <> 'task_facts'""",
    "postgres": """
        SELECT c.table_name, c.column_name
          FROM information_schema.columns AS c
          JOIN information_schema.tables AS t USING (table_schema, table_name)
         WHERE c.table_schema = current_schema() AND t.table_type = 'VIEW'""",
}
INDEXES = {
    "sqlite": "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index'",
    "postgres": "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public'",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    path: Path = tmp_path_factory.mktemp("schemas") / "tickets.db"
    with (
        closing(SqliteDatabase(str(path), registry=registry(SQLITE))) as file,
        closing(open_place(empty_url())) as server,
    ):
        for database in (file, server):
            migrate(database, sql_root(), 1)
        yield file, server


def shown(db: Database, query: dict[str, str], but: re.Pattern[str]) -> set[tuple[object, ...]]:
    rows = looked_up(db, query[db.dialect])
    return {tuple(row) for row in rows if not but.match(row[0])}


def test_tables(pair: tuple[Database, Database]) -> None:
    file, server = pair

    assert shown(file, TABLES, OF_SQLITE) == shown(server, TABLES, OF_POSTGRES)


def test_columns_and_which_may_be_null(pair: tuple[Database, Database]) -> None:
    file, server = pair
    of_file = {row for row in shown(file, COLUMNS, OF_SQLITE) if row[0] != "sqlite_sequence"}

    assert of_file == shown(server, COLUMNS, OF_POSTGRES)


def test_views(pair: tuple[Database, Database]) -> None:
    file, server = pair

    assert shown(file, VIEWS, OF_SQLITE) == shown(server, VIEWS, OF_POSTGRES)


def test_indexes_by_name(pair: tuple[Database, Database]) -> None:
    named = {
        db.dialect: {row for row in shown(db, INDEXES, but) if str(row[1]).startswith("idx_")}
        for db, but in zip(pair, (OF_SQLITE, OF_POSTGRES), strict=True)
    }

    assert named["sqlite"] == named["postgres"]


def test_applied_migrations_have_the_same_numbers_and_names(
    pair: tuple[Database, Database],
) -> None:
    file, server = ([row[:3] for row in db.applied()] for db in pair)

    assert file == server
