"""What the service's clock can have shown when, also where somebody set it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NS_PER_MS = 1_000_000
FOREVER_NS = 1 << 62
FOREVER_MS = FOREVER_NS // NS_PER_MS
# The clocks that clients and service read are the same, but not read at the same instant.
SLACK_MS = 5


@dataclass(frozen=True)
class Span:
    """A time in which the service's clock ran with one offset to the monotonic clock."""

    offset_ms: float
    from_ns: int = 0
    to_ns: int = FOREVER_NS


class Clock:
    """What the service's clock can have shown at a moment of the monotonic clock.

    Around a jump two spans overlap: then it may have been either.
    """

    def __init__(self, spans: Sequence[Span] = (Span(0),)) -> None:
        self._spans = spans

    def first(
        self,
        after_ns: int,
        until_ns: int,
        *,
        from_ms: float = -FOREVER_MS,
        below_ms: float = FOREVER_MS,
    ) -> int | None:
        """Return the first moment at which it can show a time in this range."""
        found: int | None = None
        for span in self._spans:
            begin = max(after_ns, span.from_ns, self._shows(span, from_ms - SLACK_MS))
            end = min(until_ns, span.to_ns)
            is_inside = begin <= end and begin < self._shows(span, below_ms + SLACK_MS)
            if is_inside and (found is None or begin < found):
                found = begin
        return found

    def lowest_ms(self, after_ns: int, until_ns: int) -> float:
        """Return the earliest time that it can show between two moments."""
        return min(
            max(after_ns, span.from_ns) / NS_PER_MS + span.offset_ms - SLACK_MS
            for span in self._spans
            if span.from_ns <= until_ns and after_ns <= span.to_ns
        )

    @staticmethod
    def _shows(span: Span, time_ms: float) -> int:
        if abs(time_ms) >= FOREVER_MS - SLACK_MS:
            return FOREVER_NS if time_ms > 0 else 0
        return int((time_ms - span.offset_ms) * NS_PER_MS)
