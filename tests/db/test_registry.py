from __future__ import annotations

from pathlib import Path

import pytest

from tickets.db.registry import Registry, RegistryError, Scan, sql_root


def load(root: Path, text: str, dialect: str = "sqlite") -> Registry:
    (root / "tracker" / "things.sql").write_text(text)
    return Registry.load(root, dialect)


def test_a_statement_carries_all_that_its_header_says(sql: Path) -> None:
    registry = load(
        sql,
        "-- Things.\n\n"
        "-- name: page :many\n"
        "-- uses: idx_a, primary key\n"
        "-- scans: things, three rows\n"
        "-- Oldest first;\n"
        "-- never more than :limit.\n"
        "SELECT id -- the :key\n"
        "  FROM things /* :not */\n"
        " WHERE name <> ':text; --' AND note = :note::text\n"
        " LIMIT :limit;\n",
    )

    statement = registry["things.page"]

    assert statement.kind == "many"
    assert statement.parameters == {"note", "limit"}
    assert statement.uses == ("idx_a", "primary key")
    assert statement.scans == (Scan("things", "three rows"),)
    assert statement.description == "Oldest first; never more than :limit."
    assert statement.line == 3
    assert statement.sql == (
        "SELECT id\n  FROM things\n WHERE name <> ':text; --' AND note = :note::text\n"
        " LIMIT :limit"
    )


def test_a_dialect_file_replaces_and_adds_for_its_dialect_only(sql: Path) -> None:
    (sql / "tracker" / "things.postgres.sql").write_text(
        "-- name: count :value\nSELECT 2;\n-- name: more :value\nSELECT 3;\n"
    )

    sqlite, postgres = Registry.load(sql), Registry.load(sql, "postgres")

    assert sqlite["things.count"].sql == "SELECT count(*) FROM things"
    assert "things.more" not in sqlite
    assert postgres["things.count"].sql == "SELECT 2"
    assert len(postgres) == len(sqlite) + 1


def test_migrations_are_no_statements(sql: Path) -> None:
    assert {each.path.name for each in Registry.load(sql)} == {"things.sql"}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("-- name: a\nSELECT 1;", 1, "a header reads"),
        ("-- name: A :one\nSELECT 1;", 1, "a header reads"),
        ("-- Name: a :one\nSELECT 1;", 1, "a header reads"),
        ("-- name: a :all\nSELECT 1;", 1, "unknown kind :all"),
        ("-- name: a :one\n\n-- name: b :one\nSELECT 1;", 2, "no SQL"),
        ("-- name: a :one\n-- only words\n;", 3, "no SQL"),
        ("-- name: a :one\nSELECT 1", 2, "does not end in ';'"),
        ("-- name: a :one\nSELECT 1; SELECT 2;", 2, "one statement"),
        ("-- name: a :one\nSELECT 1;\n-- name: a :one\nSELECT 2;", 3, "there twice"),
        ("SELECT 1;\n-- name: a :one\nSELECT 1;", 1, "before the first"),
        ("-- uses: idx\n-- name: a :one\nSELECT 1;", 1, "belongs under"),
        ("-- name: a :one\n-- Words.\n-- uses: idx\nSELECT 1;", 3, "follow the name"),
        ("-- name: a :one\n--uses: idx\nSELECT 1;", 2, "follow the name"),
        ("-- name: a :one\n-- uses: idx,\nSELECT 1;", 2, "empty name"),
        ("-- name: a :one\n-- scans: things\nSELECT 1;", 2, "needs both"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    sql: Path, text: str, line: int, problem: str
) -> None:
    with pytest.raises(RegistryError, match=problem) as refusal:
        load(sql, text)

    assert f"things.sql:{line}: " in str(refusal.value)


def test_a_stem_in_two_folders_is_refused(sql: Path) -> None:
    (sql / "web").mkdir()
    (sql / "web" / "things.sql").write_text("-- name: a :one\nSELECT 1;")

    with pytest.raises(RegistryError, match="'things' is used in"):
        Registry.load(sql)


def test_an_override_of_another_kind_is_refused(sql: Path) -> None:
    (sql / "tracker" / "things.sqlite.sql").write_text("-- name: count :one\nSELECT 1;")

    with pytest.raises(RegistryError, match="is :value elsewhere"):
        Registry.load(sql)


def test_an_unknown_dialect_in_a_file_name_is_refused(sql: Path) -> None:
    (sql / "tracker" / "things.mysql.sql").write_text("-- name: a :one\nSELECT 1;")

    with pytest.raises(RegistryError, match="named <stem>"):
        Registry.load(sql)


def test_an_unknown_name_says_so(sql: Path) -> None:
    with pytest.raises(RegistryError, match=r"no statement is named 'things\.none'"):
        Registry.load(sql)["things.none"]


def test_the_statements_of_the_service_can_be_read() -> None:
    assert len(Registry.load(sql_root())) > 0
