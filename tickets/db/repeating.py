"""Work done anew where another writer, or the loss of a connection, undid it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from tickets.db.errors import Collision, ConstraintViolated
from tickets.errors import OutcomeUnknown
from tickets.floor import FLOOR

T = TypeVar("T")

# Two that collided once seldom do again; five times in a row is somebody else's trouble.
TRIES: Final = 5
_PAUSE_S: Final = 0.01


def repeated(work: Callable[[], T], *, is_recorded: bool = False) -> T:
    """Return what ``work`` does, after some tries if need be.

    ``work`` begins with its transaction, and nothing of it is left where that failed. With
    ``is_recorded`` it finds out by itself whether it was done before, so it is tried again also
    where nobody knows. A database with one writer at a time never needs any of this.
    """
    for number in range(1, TRIES):
        try:
            return work()
        except Collision:
            pass
        except ConstraintViolated as error:
            if not error.may_pass:
                raise
        except OutcomeUnknown:
            if not is_recorded:
                raise
        with FLOOR.away:
            # Not all at the same instant again.
            time.sleep(random.uniform(0.1, 1) * _PAUSE_S * number)
    return work()
