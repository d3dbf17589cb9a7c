"""How long a property is tried: shortly and always the same, or long and with a seed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, seed, settings

IS_DRILL = "TICKETS_DRILL" in os.environ
# A long run tries other things each time; its seed is in the report of a failure, and
# TICKETS_SEED takes it back.
SEED = int(os.environ.get("TICKETS_SEED") or random.randrange(1 << 32)) if IS_DRILL else 8


def budget(examples: int, *, drill: int, **more: Any) -> settings:
    """Return the settings for so many examples, or for so many in a drill."""
    return settings(
        max_examples=drill if IS_DRILL else examples,
        derandomize=not IS_DRILL,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def tried(examples: int, *, drill: int) -> Callable[[Any], Any]:
    """Decorate a property with its budget."""

    def decorate(test: Any) -> Any:
        return seeded(budget(examples, drill=drill)(test))

    return decorate


def seeded(test: Any) -> Any:
    """Return a property or a machine that begins with the seed of a drill."""
    return seed(SEED)(test) if IS_DRILL else test
