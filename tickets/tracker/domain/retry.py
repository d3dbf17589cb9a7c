"""What follows a failed attempt: another try after a delay, or the dead letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

# Far beyond any clock, still a signed 64-bit integer: the eligibility of a dead-lettered task.
NEVER_AGAIN_MS: Final = 9_223_372_036_854_775_000

# Ten years. Longer waits are mistakes, and now + delay has to stay a 64-bit integer.
MAX_DELAY_MS: Final = 10 * 365 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Backoff:
    """How delays grow: ``factor`` at least 1, ``jitter`` a share from 0 to 1 of the delay."""

    factor: float = 1.0
    max_delay_ms: int | None = None
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A task's answer to failure; without ``max_attempts`` it is tried for ever."""

    max_attempts: int | None = None
    retry_delay_ms: int = 0
    backoff: Backoff | None = None
    dead_letter_stage: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The task may be claimed again ``delay_ms`` from now."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The attempts are used up; only a requeue brings the task back."""


NextStep: TypeAlias = Retry | DeadLetter


def is_exhausted(policy: RetryPolicy, *, failed_attempts: int) -> bool:
    """Tell whether no attempt is left after ``failed_attempts``, the newest included.

    Fewer than one attempt cannot be meant, so ``max_attempts`` below 1 counts as 1.
    """
    return policy.max_attempts is not None and failed_attempts >= max(1, policy.max_attempts)


def retry_delay_ms(policy: RetryPolicy, *, failed_attempts: int, random_unit: float) -> int:
    """Return how long the next attempt waits after ``failed_attempts`` failures.

    The n-th retry waits ``retry_delay_ms × factor^(n−1)``, at most ``max_delay_ms``;
    without backoff always ``retry_delay_ms``. ``random_unit`` in [0, 1) picks a point in
    the band of ± ``jitter`` around that. The band ends at ``max_delay_ms``: tasks that
    reached the maximum are spread below it and do not all return at the same instant.
    Never negative, never above MAX_DELAY_MS.

    Source: docs/lifecycle.md, Failure and retry.
    """
    base_ms = min(max(0, policy.retry_delay_ms), MAX_DELAY_MS)
    backoff = policy.backoff
    if backoff is None or base_ms == 0:
        return base_ms
    ceiling_ms = MAX_DELAY_MS
    if backoff.max_delay_ms is not None:
        ceiling_ms = min(max(0, backoff.max_delay_ms), MAX_DELAY_MS)
    centre_ms = min(_grown(base_ms, backoff.factor, failed_attempts - 1), ceiling_ms)
    jitter = min(max(0.0, backoff.jitter), 1.0)
    lowest_ms = centre_ms * (1 - jitter)
    highest_ms = min(centre_ms * (1 + jitter), ceiling_ms)
    return round(lowest_ms + (highest_ms - lowest_ms) * random_unit)


def next_step(policy: RetryPolicy, *, failed_attempts: int, random_unit: float) -> NextStep:
    """Return Retry with its delay, or DeadLetter once the attempts are used up.

    ``failed_attempts`` counts charged failures since the task entered its stage, the
    newest included.

    Source: docs/lifecycle.md, Failure and retry.
    """
    if is_exhausted(policy, failed_attempts=failed_attempts):
        return DeadLetter()
    delay_ms = retry_delay_ms(policy, failed_attempts=failed_attempts, random_unit=random_unit)
    return Retry(delay_ms)


def _grown(base_ms: int, factor: float, steps: int) -> float:
    try:
        grown_ms: float = base_ms * max(1.0, factor) ** max(0, steps)
    except OverflowError:
        return MAX_DELAY_MS
    return min(grown_ms, MAX_DELAY_MS)
