"""Which lines of the acceptance lists tests are named after, and where those run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"

_TICKET_LINE = re.compile(r"# (T-\d\d)$")
_LEDGER_LINE = re.compile(r"test_L(\d\d)_")
_ONE_KIND = re.compile(r"\bmark\.(sqlite|postgres)\b")
_TWICE = re.compile(r"^TWICE\w* := \$\(wildcard ((?:.*\\\n)*.*)\)$", re.MULTILINE)


class Named(NamedTuple):
    """A line of a list, as T-07 or L-07, and a test that is named after it."""

    line: str
    test: str
    on_both: bool


def run_twice() -> tuple[Path, ...]:
    """Return the folders and files that ``make test`` also runs on PostgreSQL."""
    groups = _TWICE.findall((ROOT / "Makefile").read_text("utf-8"))
    assert len(groups) == 2, "the Makefile names them in two groups"
    return tuple(ROOT / name for group in groups for name in group.replace("\\", "").split())


def named() -> Iterator[Named]:
    """Yield every test that is named after a line."""
    twice = run_twice()
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        is_twice = any(path.is_relative_to(each) for each in twice)
        is_twice &= not any(_is_of_one_kind(node) for node in tree.body if _is_mark(node))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                on_both = is_twice and not any(map(_is_of_one_kind, node.decorator_list))
                for line in _lines_of(node, text.splitlines()):
                    yield Named(line, f"{path.relative_to(ROOT)}::{node.name}", on_both)


def _lines_of(node: ast.FunctionDef, source: list[str]) -> Iterator[str]:
    """Yield the lines in a test's name, and in comments above it and in its head."""
    yield from (f"L-{number}" for number in _LEDGER_LINE.findall(node.name))
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
    while first > 0 and source[first - 1].lstrip().startswith("#"):
        first -= 1
    for text in source[first : node.body[0].lineno - 1]:
        yield from _TICKET_LINE.findall(text)


def _is_mark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _is_of_one_kind(node: ast.AST) -> bool:
    return _ONE_KIND.search(ast.unparse(node)) is not None
