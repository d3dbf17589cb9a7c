"""What clients saw, and whether the requests can have been done one after the other.

A history is explained where its requests can be put into one order that respects their times
(what was answered before another was sent comes first) and in which every answer is the one
that the model gives. The search is that of Wing and Gong: depth first over what can come next,
remembering where it has been. Each task is looked at alone, which keeps it small.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.faults.acts import Act
from tests.faults.clocks import FOREVER_NS, NS_PER_MS
from tests.faults.lease_model import Impossible, Rules, State, Window


@dataclass(frozen=True)
class Call:
    """One request: what it did, by its answer, and when it was called and answered.

    Without an answer (``is_certain`` False) it may have been done at any time since its call,
    or not at all.
    """

    agent: str
    act: Act
    call_ns: int
    end_ns: int = FOREVER_NS
    is_certain: bool = True


class History:
    """The calls of many clients at once, by task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, list[Call]] = defaultdict(list)

    def add(self, task_id: str, call: Call) -> None:
        """Remember a call."""
        with self._lock:
            self._calls[task_id].append(call)

    def calls(self) -> dict[str, list[Call]]:
        """Return them all."""
        with self._lock:
            return {task_id: list(calls) for task_id, calls in self._calls.items()}


# Unix times in milliseconds, which a reader wants from the start of the history.
_TIME = re.compile(r"\b1\d{12}(\.\d+)?\b")


class Unexplained(AssertionError):
    """A history that no order of its requests explains."""


@dataclass(frozen=True)
class _Point:
    """A point of the search: which calls were done, what that led to, and when at the least."""

    done: int
    first: int
    state: State
    now_ns: int


class _Search:
    """The search over the calls of one task, by call time."""

    def __init__(self, calls: Sequence[Call], rules: Rules) -> None:
        self.calls = sorted(calls, key=lambda call: call.call_ns)
        self._rules = rules
        self._certain = sum(1 << n for n, call in enumerate(self.calls) if call.is_certain)
        self._seen: dict[tuple[int, State], int] = {}
        self.furthest: list[int] = []
        self.stuck: _Point | None = None

    def succeeds(self) -> bool:
        """Tell whether there is an order; else ``furthest`` is the longest beginning of one."""
        path: list[int] = []
        start = _Point(0, 0, self._rules.new(), 0)
        stack = [self._steps(start)]
        self.stuck = start
        if not self._certain:
            return True
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                if path:
                    path.pop()
                continue
            number, point = step
            path.append(number)
            if point.done & self._certain == self._certain:
                return True
            if len(path) > len(self.furthest):
                self.furthest, self.stuck = list(path), point
            stack.append(self._steps(point))
        return False

    def _steps(self, point: _Point) -> Iterator[tuple[int, _Point]]:
        known_ns = self._seen.get((point.done, point.state))
        if known_ns is not None and known_ns <= point.now_ns:
            return
        self._seen[point.done, point.state] = point.now_ns
        for number in self.next_ones(point):
            try:
                state, moment = self._step(point, number)
            except Impossible:
                continue
            done = point.done | 1 << number
            first = point.first
            while done >> first & 1:
                first += 1
            yield number, _Point(done, first, state, moment)

    def _step(self, point: _Point, number: int) -> tuple[State, int]:
        call = self.calls[number]
        window = Window(point.now_ns, call.call_ns, call.end_ns)
        return self._rules.step(point.state, call.act, window)

    def next_ones(self, point: _Point) -> list[int]:
        """Return what can come next: nothing that was sent after another was answered."""
        found: list[int] = []
        first_end_ns = FOREVER_NS
        for number in range(point.first, len(self.calls)):
            call = self.calls[number]
            if call.call_ns > first_end_ns:
                break
            if not point.done >> number & 1:
                found.append(number)
                if call.is_certain:
                    first_end_ns = min(first_end_ns, call.end_ns)
        found = [number for number in found if self.calls[number].call_ns <= first_end_ns]
        return sorted(found, key=lambda number: self.calls[number].end_ns)

    def reason(self, number: int) -> str:
        """Say why a call cannot come next where the search went furthest."""
        assert self.stuck is not None
        try:
            self._step(self.stuck, number)
        except Impossible as error:
            return str(error)
        return "it could come next, but nothing explains what follows"


def check(histories: Mapping[str, Sequence[Call]], rules: Rules) -> int:
    """Return how many calls were explained. Raises Unexplained for the shortest that is not."""
    unexplained = [
        (task_id, _shortest(calls, rules))
        for task_id, calls in histories.items()
        if not _Search(calls, rules).succeeds()
    ]
    if unexplained:
        task_id, calls = min(unexplained, key=lambda each: len(each[1]))
        others = f" ({len(unexplained)} tasks have none)" if len(unexplained) > 1 else ""
        raise Unexplained(f"task {task_id}{others}: " + _explanation(calls, rules))
    return sum(len(calls) for calls in histories.values())


def _shortest(calls: Sequence[Call], rules: Rules) -> list[Call]:
    """Return the shortest beginning that has no explanation, without idle refusals."""
    ends = sorted({call.end_ns for call in calls if call.is_certain})
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if _Search(_until(calls, ends[middle]), rules).succeeds():
            low = middle + 1
        else:
            high = middle
    kept = _until(calls, ends[low])
    for call in list(kept):
        if type(call.act).__name__ in ("Expired", "Gone", "Seen"):
            # These change nothing, so what remains without one is a history as well.
            fewer = [each for each in kept if each is not call]
            if not _Search(fewer, rules).succeeds():
                kept = fewer
    return kept


def _until(calls: Sequence[Call], end_ns: int) -> list[Call]:
    """Return what was called until a moment; what was not answered by then is uncertain."""
    return [
        call if call.end_ns <= end_ns else replace(call, end_ns=FOREVER_NS, is_certain=False)
        for call in calls
        if call.call_ns <= end_ns
    ]


def _explanation(calls: Sequence[Call], rules: Rules) -> str:
    search = _stuck_search(calls, rules)
    # What may never have happened, and is of no use, says nothing.
    used = [
        call for n, call in enumerate(search.calls) if call.is_certain or n in search.furthest
    ]
    search = _stuck_search(used, rules)
    assert search.stuck is not None
    start_ns = search.calls[0].call_ns
    lines = ["no order of these requests explains all answers", "   sent ms  answered  agent"]
    for number, call in enumerate(search.calls, 1):
        end = _ms(call.end_ns, start_ns) if call.is_certain else "   never?"
        lines.append(
            f"{_ms(call.call_ns, start_ns)} {end}  {call.agent:<8} {number:>3}. {call.act}"
        )
    order = " ".join(str(number + 1) for number in search.furthest) or "nothing"
    lines += [f"The longest order that fits: {order}; then the task is {search.stuck.state}"]
    for number in search.next_ones(search.stuck):
        lines.append(f"  {number + 1}. cannot come next: {search.reason(number)}")
    start_ms = rules.clock.lowest_ms(start_ns, start_ns)
    return _TIME.sub(lambda time: f"{float(time[0]) - start_ms:.0f}", "\n".join(lines))


def _stuck_search(calls: Sequence[Call], rules: Rules) -> _Search:
    search = _Search(calls, rules)
    assert not search.succeeds()
    return search


def _ms(moment_ns: int, start_ns: int) -> str:
    return f"{(moment_ns - start_ns) / NS_PER_MS:9.1f}"
