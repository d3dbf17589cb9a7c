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

KINDS = {"one": "one", "many": "many", "value": "value", "run": "run", "run_many": "run"}
# Its own words for a table's key, those for the automatic index of a key that is text, and
# none at all where MIN or MAX goes to an end of the table.
PRIMARY_KEY = r"PRIMARY KEY|sqlite_autoindex_\w+_1|^SEARCH \w+$"
REGISTRY = Registry.load(sql_root(), "sqlite")
STATEMENTS = sorted(REGISTRY, key=lambda statement: statement.name)


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


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.place} {call.name}")
def test_each_call_names_a_statement_of_its_kind_with_its_parameters(call: Call) -> None:
    assert call.name in REGISTRY

    statement = REGISTRY[call.name]

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

    assert [s.name for s in STATEMENTS if s.name not in named] == []


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_each_plan_uses_what_its_header_says(statement: Statement, db: Database) -> None:
    if re.match(r"\s*INSERT\b.*\bVALUES\b", statement.sql, re.IGNORECASE | re.DOTALL):
        # SQLite plans nothing for a single row; the conflict it looks for is a constraint's.
        return

    plan = explained(statement, db)

    for index in statement.uses:
        wanted = PRIMARY_KEY if index == "primary key" else re.escape(index)
        assert re.search(wanted, plan, re.MULTILINE), f"{index} is not in:\n{plan}"


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
