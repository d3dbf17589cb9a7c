"""What came of a load: answers with their times, and whatever went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

LOOP = ("claim", "event", "transition")


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Return the smallest value that ``percent`` of all do not exceed; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    # -(-a // b) rounds up; the epsilon keeps 99 % of 100 from becoming the hundredth.
    rank = int(-(-(len(ordered) * percent / 100 - 1e-9) // 1))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


@dataclass
class Outcome:
    """The answers of one load, or of several one after the other.

    ``taken`` counts tasks claimed, those claimed too late to be measured included.
    """

    seconds: float = 0.0
    times_us: dict[str, list[int]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    empty: int = 0
    socket_errors: int = 0

    @classmethod
    def of(cls, document: dict[str, Any]) -> Outcome:
        """Return what a generator reported."""
        return cls(**{**document, "errors": Counter(document["errors"])})

    @classmethod
    def side_by_side(cls, parts: Sequence[Outcome]) -> Outcome:
        """Add up loads that ran at the same time."""
        total = cls()
        for part in parts:
            total.add(part)
        total.seconds = max(part.seconds for part in parts)
        return total

    def add(self, other: Outcome) -> None:
        """Add a load that ran afterwards."""
        self.seconds += other.seconds
        for kind, times in other.times_us.items():
            self.times_us.setdefault(kind, []).extend(times)
        self.errors.update(other.errors)
        self.taken += other.taken
        self.empty += other.empty
        self.socket_errors += other.socket_errors

    def count(self, *kinds: str) -> int:
        """Return how many good answers of these kinds came in time."""
        return sum(len(self.times_us.get(kind, ())) for kind in kinds)

    def per_second(self, *kinds: str) -> float:
        """Return good answers of these kinds for each second."""
        return self.count(*kinds) / self.seconds if self.seconds else 0.0

    def loops_per_second(self, events: int = 1) -> float:
        """Return loops for each second; a loop cut off by the end counts by its answers."""
        return self.per_second(*LOOP) / (2 + events)

    def ms(self, percent: float, *kinds: str) -> float | None:
        """Return a percentile of the times of these kinds, of all where none is named."""
        times = [t for kind in kinds or self.times_us for t in self.times_us.get(kind, ())]
        found = percentile(times, percent)
        return None if found is None else found / 1000

    def summary(self) -> dict[str, Any]:
        """Return counts and percentiles as JSON."""
        return {
            "seconds": round(self.seconds, 2),
            "answers": {kind: len(times) for kind, times in sorted(self.times_us.items())},
            "p50_ms": {kind: _short(self.ms(50, kind)) for kind in sorted(self.times_us)},
            "p99_ms": {kind: _short(self.ms(99, kind)) for kind in sorted(self.times_us)},
            "empty_claims": self.empty,
            "errors": dict(sorted(self.errors.items())),
            "socket_errors": self.socket_errors,
        }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
