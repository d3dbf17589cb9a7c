"""How often a property is tried: always alike, or in a drill with what its seed brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as begun_with

from tests import databases
from tests.drills import SEED, rounds

# What asks a server takes several times as long, and a drill is to take no longer there.
_SHARE = 1.0 if databases.Kind.chosen == databases.SQLITE else 0.25


def budget(examples: int, *, drill: int, **more: Any) -> settings:
    """Return the settings for so many examples, or for so many in a drill on SQLite."""
    return settings(
        max_examples=rounds(examples, drill=round(drill * _SHARE)),
        derandomize=SEED is None,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def tried(examples: int, *, drill: int) -> Callable[[Any], Any]:
    """Decorate a property with its budget, and as one that a drill tries longer."""

    def decorate(test: Any) -> Any:
        return pytest.mark.drill(seeded(budget(examples, drill=drill)(test)))

    return decorate


def seeded(test: Any) -> Any:
    """Return a property or a machine that begins with the seed, where there is one."""
    return test if SEED is None else begun_with(SEED)(test)
