"""Every line of both acceptance lists is met by a test named after it, on both databases."""

from __future__ import annotations

import pytest

from tests.contract.acceptance import Named, named, run_twice

# What clients are promised, by number: of tickets, and of the ledger.
ACCEPTED = {
    *(f"T-{number:02}" for number in range(1, 47)),
    *(f"L-{number:02}" for number in range(1, 35)),
}


@pytest.fixture(scope="module")
def tests() -> list[Named]:
    return list(named())


def test_each_line_has_a_test_and_no_test_has_another_line(tests: list[Named]) -> None:
    assert {each.line for each in tests} == ACCEPTED


def test_each_line_has_a_test_that_runs_on_both_databases(tests: list[Named]) -> None:
    assert ACCEPTED - {each.line for each in tests if each.on_both} == set()


def test_what_runs_twice_is_there() -> None:
    assert [each for each in run_twice() if not each.exists()] == []
