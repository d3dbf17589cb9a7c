"""When to send: after failures, within limits, and not in circles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_ATTEMPTS: Final = 10
FIRST_DELAY_MS: Final = 1_000
MAX_DELAY_MS: Final = 300_000
JITTER: Final = 0.2

# More pushes of one ticket within the window than anybody means: two sides answer each other.
BREAKER_PUSHES: Final = 10
BREAKER_WINDOW_MS: Final = 60_000
BREAKER_PAUSE_MS: Final = 60_000

# Where Linear limits us and does not say until when.
DEFAULT_LIMITED_MS: Final = 60_000
# No reset lies further away than this; a header that says more is not to be trusted.
MAX_LIMITED_MS: Final = 3_600_000
# Unix times below this are seconds: as milliseconds they would lie before 2001.
_FIRST_MILLISECONDS: Final = 10**12 - 10**11


def delay_ms(attempts: int, *, random_unit: float) -> int:
    """Return the delay after the ``attempts``-th failure in a row; ``random_unit`` in [0, 1).

    It doubles from one second to five minutes and is spread by a fifth to either side.
    """
    # Two to the thirtieth is past the maximum; more would only make large numbers.
    plain = min(MAX_DELAY_MS, FIRST_DELAY_MS << min(max(attempts, 1) - 1, 30))
    return round(plain * (1 - JITTER + 2 * JITTER * random_unit))


def limited_until_ms(headers: Mapping[str, str], *, now_ms: int) -> int:
    """Return when Linear may be asked again, after it said that we ask too much.

    ``headers`` have lower-case names. ``Retry-After`` is a number of seconds; a reset is a Unix
    time in seconds or milliseconds, and where both budgets name one the later counts.
    Source: https://linear.app/developers/rate-limiting.
    """
    after_s = _number(headers.get("retry-after"))
    if after_s is not None:
        until_ms = now_ms + round(after_s * 1_000)
    else:
        resets = [
            _number(headers.get(f"x-ratelimit-{budget}-reset"))
            for budget in ("requests", "complexity")
        ]
        until_ms = max(
            (_as_ms(reset) for reset in resets if reset is not None),
            default=now_ms + DEFAULT_LIMITED_MS,
        )
    return min(max(until_ms, now_ms + FIRST_DELAY_MS), now_ms + MAX_LIMITED_MS)


def is_looping(sent_at_ms: Sequence[int], *, now_ms: int) -> bool:
    """Tell whether one more push of a ticket would be more than it can have meant."""
    recent = [at_ms for at_ms in sent_at_ms if now_ms - at_ms < BREAKER_WINDOW_MS]
    return len(recent) >= BREAKER_PUSHES


def merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of two updates of one issue as one: of each field the newest value."""
    return {**earlier, **later}


def _as_ms(reset: float) -> int:
    return round(reset if reset >= _FIRST_MILLISECONDS else reset * 1_000)


def _number(text: str | None) -> float | None:
    """Return a header's number; None where it has none that could be a time."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    # Also false for NaN.
    return number if 0 <= number < 10**16 else None
