"""Every line of the ledger's acceptance list is met by a test that is named after it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
LINES = {f"L-{number:02}" for number in range(1, 35)}
# Those that are about the service, or about both.
OF_THE_SERVICE = {
    f"L-{number:02}"
    for number in (3, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 20, 21, 23, 24, 25, 26, *range(29, 35))
}


def named() -> dict[str, set[str]]:
    """Return the lines that tests are named after, with the folders."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for number in re.findall(
            r"^ *def test_L(\d\d)_", path.read_text("utf-8"), re.MULTILINE
        ):
            found.setdefault(f"L-{number}", set()).add(path.parent.name)
    return found


def test_each_line_has_a_test_and_no_test_has_another_line() -> None:
    assert set(named()) == LINES


def test_what_the_service_does_is_tested_on_both_databases() -> None:
    folders = {line: folders & {"http", "operations"} for line, folders in named().items()}

    assert {line for line in OF_THE_SERVICE if not folders[line]} == set()
