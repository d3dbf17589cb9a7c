"""Agents on a backlog that stays as large as it is to be."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from scripts.bench.generators import Agents, Generator
from scripts.bench.outcome import Outcome
from scripts.bench.seed import Backlog
from scripts.bench.service import Chosen, Service, serving
from scripts.bench.sizes import Sizes

# Before anything is known: slow enough for any machine.
FIRST_S = 0.05
LONGEST_S = 2.0
# So much of the backlog may be worked off before it is filled up again.
SHARE = 0.4


@dataclass
class Bench:
    """What all figures share."""

    chosen: Chosen
    sizes: Sizes
    generator: Generator
    order: str = "causal"
    # Ends what is kept from one figure to the next.
    stack: ExitStack = field(default_factory=ExitStack)
    # The longest backlog of the figure about backlogs.
    longest: Backlog | None = None

    def serving(self) -> Service:
        """Start a service that lives as long as the benchmark."""
        return self.stack.enter_context(serving(self.chosen))


class Rounds:
    """Short loads of agents, before each of which the backlog is filled up."""

    def __init__(
        self, bench: Bench, backlog: Backlog, until: int, connections: int = 8
    ) -> None:
        self._bench = bench
        self._backlog = backlog
        self._until = until
        self._load = Agents(backlog.role, connections, order=bench.order)
        self._window_s = FIRST_S
        self._fastest = 1.0
        self.total = Outcome()
        # The first rounds of a service warm it up, and tell how long the others may be.
        warmed_s = 0.0
        while warmed_s <= bench.sizes.warm_seconds:
            warmed_s += self._round().seconds

    def run(self, seconds: float) -> Outcome:
        """Add rounds until so many seconds were measured."""
        while self.total.seconds < seconds:
            self.once()
        return self.total

    def once(self) -> None:
        """Add one round."""
        self.total.add(self._round())

    def _round(self) -> Outcome:
        self._backlog.fill(self._until)
        outcome = self._bench.generator.run(self._backlog.address, self._load, self._window_s)
        self._backlog.waiting -= outcome.taken
        self._fastest = max(self._fastest, outcome.loops_per_second())
        self._window_s = next_window(self._window_s, self._until, self._fastest)
        return outcome


def next_window(last_s: float, backlog: int, fastest: float) -> float:
    """Return how long the next round may be, so that it never runs out of tasks.

    A round that was slow says little about the next, so rounds grow by steps only.
    """
    return max(FIRST_S, min(2 * last_s, backlog * SHARE / fastest, LONGEST_S))


def alternate(one: Rounds, other: Rounds, seconds: float) -> None:
    """Run both in turn, so that whatever else the machine does hits both alike."""
    while min(one.total.seconds, other.total.seconds) < seconds:
        for rounds in (one, other):
            if rounds.total.seconds < seconds:
                rounds.once()
