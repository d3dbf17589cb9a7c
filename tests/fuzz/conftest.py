from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.budgets import SEED
from tests.fuzz.place import Place, a_place


@pytest.fixture(autouse=True)
def seed_in_the_report() -> None:
    print(f"seed {SEED}")  # noqa: T201  # pytest shows it where the test fails


@pytest.fixture
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made
