"""Operations read the clock when nothing is left to wait for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tickets

ROOT = Path(tickets.__file__).parent


def lines_of_calls(function: ast.FunctionDef, name: str) -> list[int]:
    """Return where a function calls a method of this name."""
    return [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
    ]


def holders() -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield each function that takes locks and reads the clock, and the lines of both."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                holds, readings = lines_of_calls(node, "hold"), lines_of_calls(node, "now_ms")
                if holds and readings:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", holds, readings


def test_the_clock_is_read_after_the_locks_are_held() -> None:
    found = list(holders())

    assert len(found) > 5
    assert [place for place, holds, readings in found if min(readings) < max(holds)] == []
