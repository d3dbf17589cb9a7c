"""The states of a piece of work, and which may follow which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

from .errors import InvalidStateError

# Other words for a state, understood wherever a caller names one and never stored.
ALIASES: Final = {
    "CANCELED": "CANCELLED",
    "DONE": "COMPLETED",
    "SUCCEEDED": "COMPLETED",
    "SUCCESS": "COMPLETED",
    "ERROR": "FAILED",
    "TIMED_OUT": "TIMEOUT",
    "WAITING": "BLOCKED",
}


class StateMachine:
    """Open states with their successors, and terminal states, which have none.

    ``transitions`` has a key for each open state. Every open state may follow itself: that is
    a heartbeat or a progress report, and need not be listed. Raises InvalidStateError where a
    successor is no state, a terminal state has successors, an initial state is not open, or an
    open state cannot be reached.
    """

    def __init__(
        self,
        initial: Iterable[str],
        transitions: Mapping[str, Iterable[str]],
        terminal: Iterable[str],
    ) -> None:
        self.initial: tuple[str, ...] = tuple(initial)
        self.terminal: frozenset[str] = frozenset(terminal)
        self.open: tuple[str, ...] = tuple(transitions)
        self._next: dict[str | None, tuple[str, ...]] = {
            state: tuple(dict.fromkeys([state, *successors]))
            for state, successors in transitions.items()
        }
        self._next[None] = self.initial
        self._edges = {(a, b) for a, successors in self._next.items() for b in successors}
        self._spelling = {
            state.upper(): state for state in (*self.open, *sorted(self.terminal))
        }
        self._check()

    def _check(self) -> None:
        states = {*self.open, *self.terminal}
        both = self.terminal & set(self.open)
        if both:
            raise InvalidStateError(f"terminal, yet with successors: {', '.join(sorted(both))}")
        if len(self._spelling) < len(states):
            raise InvalidStateError("two states differ in case only")
        unknown = set(chain.from_iterable(self._next.values())) - states
        if unknown:
            raise InvalidStateError(f"no such state: {', '.join(sorted(unknown))}")
        ended = self.terminal & set(self.initial)
        if ended or not self.initial:
            raise InvalidStateError("a first state is an open one, and there is at least one")
        reached = self._reached()
        lost = [state for state in self.open if state not in reached]
        if lost:
            raise InvalidStateError(f"cannot be reached: {', '.join(lost)}")

    def _reached(self) -> set[str]:
        reached = set(self.initial)
        waiting = list(self.initial)
        while waiting:
            for state in self._next.get(waiting.pop(), ()):
                if state not in reached:
                    reached.add(state)
                    waiting.append(state)
        return reached

    def canonical(self, word: str) -> str:
        """Return the state that a word means, whatever its case. Raises InvalidStateError."""
        upper = word.upper()
        found = self._spelling.get(upper) or self._spelling.get(ALIASES.get(upper, ""))
        if found is None:
            raise InvalidStateError(f"no such state: {word[:80]!r}")
        return found

    def allows(self, previous: str | None, state: str) -> bool:
        """Tell whether ``state`` may follow; ``previous`` None is a req without events."""
        return (previous, state) in self._edges

    def successors(self, state: str | None) -> tuple[str, ...]:
        """Return what may follow, nothing after a terminal state."""
        return self._next.get(state, ())

    def way(self, previous: str | None, state: str) -> tuple[str, ...]:
        """Return the shortest way to ``state``, itself included; empty where there is none."""
        if self.allows(previous, state):
            return (state,)
        waiting: list[tuple[str, ...]] = [(each,) for each in self.successors(previous)]
        seen = {way[0] for way in waiting}
        for way in waiting:
            for each in self.successors(way[-1]):
                if each == state:
                    return (*way, state)
                if each not in seen:
                    seen.add(each)
                    waiting.append((*way, each))
        return ()


DEFAULT_MACHINE: Final = StateMachine(
    initial=("RECEIVED", "QUEUED"),
    transitions={
        "RECEIVED": (
            "QUEUED", "RUNNING", "BLOCKED", "STALE", "FAILED", "CANCELLED", "TIMEOUT",
        ),
        "QUEUED": (
            "RUNNING", "BLOCKED", "RETRYING", "STALE", "FAILED", "CANCELLED", "TIMEOUT",
        ),
        "RUNNING": (
            "QUEUED", "BLOCKED", "RETRYING", "STALE",
            "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT",
        ),
        "BLOCKED": ("QUEUED", "RUNNING", "FAILED", "CANCELLED", "TIMEOUT"),
        "RETRYING": (
            "QUEUED", "RUNNING", "BLOCKED", "STALE", "FAILED", "CANCELLED", "TIMEOUT",
        ),
        "STALE": (
            "QUEUED", "RUNNING", "BLOCKED", "RETRYING",
            "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT",
        ),
    },
    terminal=("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"),
)  # fmt: skip
