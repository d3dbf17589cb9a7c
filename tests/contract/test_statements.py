"""Statements and the code that calls them: names, kinds, parameters, and promised plans."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tickets
from tickets.db.database import Database
from tickets.db.registry import Registry, Statement, sql_root

KINDS = {
    "one": "one",
    "many": "many",
    "value": "value",
    "run": "run",
    "run_many": "run",
    "hold": "run",
}
# Its own words for a table's key, those for the automatic index of a key that is text, and
# none at all where MIN or MAX goes to an end of the table.
PRIMARY_KEY = r"PRIMARY KEY|sqlite_autoindex_\w+_1|^SEARCH \w+$"
REGISTRY = Registry.load(sql_root(), "sqlite")
STATEMENTS = sorted(REGISTRY, key=lambda statement: statement.name)
POSTGRES = Registry.load(sql_root(), "postgres")
POSTGRES_STATEMENTS = sorted(POSTGRES, key=lambda statement: statement.name)


class Call(NamedTuple):
    """One place in the code that runs a statement."""

    place: str
    method: str
    name: str
    given: frozenset[str]
    is_open: bool


def calls() -> Iterator[Call]:
    """Yield every ``tx.<kind>("…", …)`` of the package."""
    root = Path(tickets.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in KINDS
                and ast.unparse(node.func.value) in ("tx", "self._tx")
                and node.args
            ):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: not a literal"
                names = frozenset(k.arg for k in node.keywords if k.arg is not None)
                is_open = node.func.attr == "run_many" or any(
                    k.arg is None for k in node.keywords
                )
                place = f"{path.relative_to(root)}:{node.lineno}"
                yield Call(place, node.func.attr, str(first.value), names, is_open)


CALLS = list(calls())


def in_dialects(call: Call) -> list[tuple[Call, str]]:
    """Return the dialects in which a call wants its statement: locks are for many writers."""
    dialects = ["postgres"] if call.method == "hold" else ["sqlite", "postgres"]
    return [(call, dialect) for dialect in dialects]


@pytest.mark.parametrize(
    ("call", "dialect"),
    [pair for call in CALLS for pair in in_dialects(call)],
    ids=lambda value: value if isinstance(value, str) else f"{value.place} {value.name}",
)
def test_each_call_names_a_statement_of_its_kind_with_its_parameters(
    call: Call, dialect: str
) -> None:
    registry = {"sqlite": REGISTRY, "postgres": POSTGRES}[dialect]
    assert call.name in registry

    statement = registry[call.name]

    assert statement.kind == KINDS[call.method]
    if call.is_open:
        assert call.given <= statement.parameters
    else:
        assert call.given == statement.parameters


def test_each_statement_is_named_somewhere() -> None:
    named = {
        node.value
        for path in Path(tickets.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    everything = [*STATEMENTS, *POSTGRES_STATEMENTS]
    assert [s.name for s in everything if s.name not in named] == []


def test_each_override_begins_with_the_reason() -> None:
    overrides = [s for s in POSTGRES_STATEMENTS if s.path.name.endswith(".postgres.sql")]

    assert [s.name for s in overrides if not s.description] == []


@pytest.mark.sqlite
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_each_plan_uses_what_its_header_says(statement: Statement, db: Database) -> None:
    if re.match(r"\s*INSERT\b.*\bVALUES\b", statement.sql, re.IGNORECASE | re.DOTALL):
        # SQLite plans nothing for a single row; the conflict it looks for is a constraint's.
        return

    plan = explained(statement, db)

    for index in statement.uses:
        wanted = PRIMARY_KEY if index == "primary key" else re.escape(index)
        assert re.search(wanted, plan, re.MULTILINE), f"{index} is not in:\n{plan}"


@pytest.mark.sqlite
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_no_plan_scans_a_table_unless_its_header_says_why(
    statement: Statement, db: Database
) -> None:
    plan = explained(statement, db)
    allowed = {scan.table for scan in statement.scans}

    scanned = {
        found[1]
        for line in plan.splitlines()
        if (found := re.match(r"SCAN (\w+)", line)) and "VIRTUAL TABLE INDEX" not in line
    }

    assert {name for name in scanned if is_table(name, db)} <= allowed, plan


@pytest.mark.postgres
@pytest.mark.parametrize("statement", POSTGRES_STATEMENTS, ids=lambda statement: statement.name)
def test_postgresql_understands_each_statement_and_can_use_its_indexes(
    statement: Statement, db: Database
) -> None:
    plan = explained_by_server(statement, db)

    if statement.path.name.endswith(".postgres.sql"):
        for index in statement.uses:
            assert index in plan, plan


# IS NULL fixes no column in the eyes of PostgreSQL: it would sort all that can be claimed.
@pytest.mark.postgres
@pytest.mark.parametrize("name", ["tasks.next_claimable", "tasks.next_claimable_outside"])
def test_postgresql_reads_what_can_be_claimed_in_the_order_of_the_index(
    name: str, db: Database
) -> None:
    plan = explained_by_server(POSTGRES[name], db)

    assert "idx_tasks_claim" in plan
    assert not re.search(r"Sort Key: tasks(_\d+)?\.", plan), plan


@pytest.mark.postgres
def test_postgresql_finds_the_next_moment_at_one_end_of_the_index(db: Database) -> None:
    plan = explained_by_server(POSTGRES["leases.next_moment_ms"], db)

    # For tasks that anybody may take, and for those of one agent; a limit ends each look.
    found = re.findall(r"Limit[^\n]*\n[^\n]*Index[^\n]*Scan using idx_tasks_delayed_role", plan)
    assert len(found) == 2, plan


@pytest.mark.postgres
def test_postgresql_does_not_look_for_dependents_among_those_of_others(db: Database) -> None:
    with db.write() as tx, tx.raw() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "INSERT INTO task_dependencies (task_id, depends_on_task_id, created_at_ms)"
            " SELECT 't' || n, 'target', 1 FROM GENERATE_SERIES(1, 3000) AS n"
        )
        connection.execute("ANALYZE task_dependencies")

    for name in ("dependencies.newest_seq", "dependencies.dependents"):
        assert "idx_task_dependencies_target" in explained_by_server(POSTGRES[name], db)


def explained_by_server(statement: Statement, db: Database) -> str:
    """Return PostgreSQL's plan, one step a line; none where a statement cannot be prepared."""
    numbers = {name: f"${n}" for n, name in enumerate(sorted(statement.parameters), 1)}
    sql = POSTGRES.for_psycopg()[statement.name].decode() % numbers
    if sql.startswith("LOCK"):
        return ""
    nothing = f"({', '.join(['NULL'] * len(numbers))})" if numbers else ""
    with db.write() as tx, tx.raw() as connection:
        # Tables are empty here, and would be read from end to end for that reason alone; a
        # plan for these values would look at no table at all.
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE asked AS {sql}", prepare=False)
        rows = connection.execute(f"EXPLAIN EXECUTE asked{nothing}", prepare=False).fetchall()
        connection.execute("DEALLOCATE asked", prepare=False)
    return "\n".join(row[0] for row in rows)


def explained(statement: Statement, db: Database) -> str:
    """Return the plan, one step a line."""
    with db.read() as tx, tx.raw() as connection:
        rows = connection.execute(
            f"EXPLAIN QUERY PLAN {statement.sql}", dict.fromkeys(statement.parameters)
        ).fetchall()
    return "\n".join(row[3] for row in rows)


def is_table(name: str, db: Database) -> bool:
    """Tell whether a name in a plan is a table or its alias, and no step of the statement."""
    with db.read() as tx, tx.raw() as connection:
        tables = {
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
    return name in tables or len(name) == 1
