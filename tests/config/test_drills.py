"""Drills: how they are asked for, and that ``-m drill`` is just what is longer in one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills import factor_of, rounds, seed_of
from tests.fuzz.budgets import tried

TESTS = Path(__file__).resolve().parents[1]
# Whoever asks one of these modules for one of these names may do more in a drill.
ASKED = ("tests.drills", "tests.fuzz.budgets")
LENGTHS = {"rounds", "IS_DRILL", "budget", "tried"}
# The decorator marks by itself, as is tested below.
MARK, MARKING = "pytest.mark.drill", "tried"
PYTHON = [path for path in sorted(TESTS.rglob("*.py")) if path.name != Path(__file__).name]
MODULES = [path for path in PYTHON if path.name.startswith("test_")]
FAMILIES = {"stateful", "process", "faults", "fuzz", "races"}


def test_a_drill_is_asked_for_with_its_length() -> None:
    assert factor_of(None) is None
    assert [factor_of(text) for text in ("1", "3", "0.25")] == [1, 3, 0.25]


@pytest.mark.parametrize("text", ["", "0", "-1", "yes", "nan", "inf"])
def test_any_other_length_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match=f"^TICKETS_DRILL={text} is no positive number"):
        factor_of(text)


def test_a_drill_is_so_many_times_as_long_and_nowhere_shorter_than_none() -> None:
    factors = (None, 1.0, 3.0, 0.5, 0.01)

    assert [rounds(8, drill=100, factor=each) for each in factors] == [8, 100, 300, 50, 8]


def test_a_short_run_draws_no_seed_and_a_drill_another_each_time() -> None:
    assert seed_of(None, is_drill=False) is None
    assert len({seed_of(None, is_drill=True) for _ in range(5)}) > 1
    assert {seed_of("77", is_drill=is_drill) for is_drill in (True, False)} == {77}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match=f"^TICKETS_SEED={text} is no seed"):
        seed_of(text, is_drill=True)


def top_level(module: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Return what a module defines, by name."""
    for statement in module.body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                yield statement.name, statement
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id, statement


def names_in(statement: ast.stmt) -> Iterator[str]:
    """Return the names that a statement has to do with, fixtures and dotted ones too."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                yield name
            case ast.Attribute():
                yield ast.unparse(node)


def behind(source: str) -> dict[str, set[str]]:
    """Return all that each test of a module comes to, by way of what the module defines."""
    direct: dict[str, set[str]] = {}
    for name, statement in top_level(ast.parse(source)):
        direct.setdefault(name, set()).update(names_in(statement))
    found = {}
    for test in filter(lambda name: name.startswith("test_"), direct):
        reached, ahead = set[str](), {test, "pytestmark"}
        while ahead:
            name = ahead.pop()
            reached.add(name)
            ahead |= direct.get(name, set()) - reached
        found[test] = reached
    return found


def asked_for(source: str) -> set[str]:
    """Return the names under which a module asks how long something is."""
    imported = {
        (node.module, name.name)
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    names = {name for module, name in imported if module in ASKED and name in LENGTHS}
    whole = {f"drills.{name}" for name in LENGTHS if ("tests", "drills") in imported}
    return names | whole


def longer_and_marked(source: str) -> tuple[set[str], set[str]]:
    """Return the tests of a module that are longer in a drill, and those marked so."""
    tests = behind(source).items()
    lengths = asked_for(source)
    marks = {MARK} | lengths & {MARKING}
    return (
        {test for test, reached in tests if reached & lengths},
        {test for test, reached in tests if reached & marks},
    )


def test_just_what_is_longer_in_a_drill_is_marked() -> None:
    families = set()
    for path in MODULES:
        longer, marked = longer_and_marked(path.read_text(encoding="utf-8"))

        assert longer == marked, path
        if marked:
            families.add(path.parent.name)
    assert families >= FAMILIES


def test_only_tests_ask_how_long_they_are() -> None:
    asking = {
        path.name
        for path in PYTHON
        if path not in MODULES and asked_for(path.read_text(encoding="utf-8"))
    }

    # The first tells of the seed.
    assert asking == {"conftest.py", "budgets.py"}


def test_a_length_or_a_mark_that_stands_alone_is_noticed() -> None:
    source = """
from tests import drills
from tests.drills import rounds
from tests.fuzz.budgets import tried
ROUNDS = rounds(1, drill=2)
class Crowd:
    count = ROUNDS
def made(): return Crowd()
def test_longer(made): pass
def test_longer_too(): drills.rounds(1, drill=2)
@pytest.mark.drill
def test_marked(): pass
@tried(1, drill=2)
def test_both(): pass
def test_neither(): pass
"""

    longer, marked = longer_and_marked(source)

    assert longer == {"test_longer", "test_longer_too", "test_both"}
    assert marked == {"test_marked", "test_both"}


def test_a_property_that_is_tried_is_marked() -> None:
    @tried(1, drill=2)
    def some() -> None: ...

    assert "drill" in [mark.name for mark in some.pytestmark]
