"""How much is measured: for a result to keep, for a look in passing, and for the tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Rows, connections and seconds of each figure."""

    backlog: int
    loop_seconds: float
    ratio_seconds: float
    backlogs: tuple[int, ...]
    backlog_seconds: float
    obstacles: int
    post_seconds: float
    claim_backlog: int
    waiters: int
    wait_seconds: float
    cost_rows: tuple[int, ...]
    # The largest number of rows of kinds that cannot be created many at a time.
    cost_single_rows: int
    cost_samples: int
    cost_seconds: float
    settle_seconds: float
    warm_seconds: float


FULL = Sizes(
    backlog=1_000,
    loop_seconds=10,
    ratio_seconds=8,
    backlogs=(100, 1_000, 10_000, 100_000, 1_000_000),
    backlog_seconds=4,
    obstacles=20_000,
    post_seconds=6,
    claim_backlog=100_000,
    waiters=200,
    wait_seconds=6,
    cost_rows=(1_000, 100_000, 1_000_000),
    cost_single_rows=20_000,
    cost_samples=200,
    cost_seconds=1.0,
    settle_seconds=5,
    warm_seconds=1,
)
QUICK = Sizes(
    backlog=1_000,
    loop_seconds=2,
    ratio_seconds=1.5,
    backlogs=(100, 1_000, 10_000),
    backlog_seconds=1,
    obstacles=500,
    post_seconds=1,
    claim_backlog=10_000,
    waiters=200,
    wait_seconds=1,
    cost_rows=(1_000, 10_000),
    cost_single_rows=500,
    cost_samples=20,
    cost_seconds=0.2,
    settle_seconds=1,
    warm_seconds=0.3,
)
SMOKE = Sizes(
    backlog=60,
    loop_seconds=0.1,
    ratio_seconds=0.1,
    backlogs=(20, 60),
    backlog_seconds=0.1,
    obstacles=5,
    post_seconds=0.1,
    claim_backlog=60,
    waiters=5,
    wait_seconds=0.1,
    cost_rows=(20, 60),
    cost_single_rows=5,
    cost_samples=2,
    cost_seconds=0.1,
    settle_seconds=0,
    warm_seconds=0,
)
ALL = {"full": FULL, "quick": QUICK, "smoke": SMOKE}
