from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.place import Place, a_place


@pytest.fixture
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made
