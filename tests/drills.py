"""How long what has a seed goes on: shortly and always the same, or long, which is a drill.

``TICKETS_DRILL=1`` makes a drill, any other positive number one that is so many times as long.
It draws one seed for all its tests; ``TICKETS_SEED`` takes a seed back.
"""

from __future__ import annotations

import math
import os
import random

LENGTH, DRAWN = "TICKETS_DRILL", "TICKETS_SEED"


def factor_of(text: str | None) -> float | None:
    """Read how many times as long as usual a drill is; None is no drill."""
    if text is None:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        # Ends the run with this sentence, wherever this module is imported first.
        raise SystemExit(
            f"{LENGTH}={text} is no positive number; a drill as usual is {LENGTH}=1"
        )
    return factor


def seed_of(text: str | None, *, is_drill: bool) -> int | None:
    """Read a seed, or draw one for a drill; None leaves each file its own."""
    if text is None:
        return random.randrange(1 << 32) if is_drill else None
    if not (text.isascii() and text.isdigit()):
        raise SystemExit(f"{DRAWN}={text} is no seed; a drill tells its own, a whole number")
    return int(text)


_FACTOR = factor_of(os.environ.get(LENGTH))
IS_DRILL = _FACTOR is not None
SEED = seed_of(os.environ.get(DRAWN), is_drill=IS_DRILL)
if SEED is not None:
    # The processes of a parallel run take it too.
    os.environ[DRAWN] = str(SEED)


def seed(short: int) -> int:
    """Return the seed of this run; a short one has the given."""
    return short if SEED is None else SEED


def rounds(short: int, *, drill: int, factor: float | None = _FACTOR) -> int:
    """Return how often something is done in a short run, or in a drill; there never less."""
    return short if factor is None else max(short, round(drill * factor))


def words() -> str:
    """Return what makes another run like this one, where it stands before the command."""
    given = {} if _FACTOR is None else {LENGTH: f"{_FACTOR:g}"}
    return " ".join(f"{name}={text}" for name, text in {**given, DRAWN: SEED}.items())
