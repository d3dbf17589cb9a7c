"""When a task counts as gone quiet, and what a watchdog then writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from .errors import InvalidEventError
from .events import check_int
from .snapshots import Snapshot
from .states import StateMachine

Thresholds = Mapping[str, int | None]

# How long a task may be silent in a state; a state that is not named is never stale.
DEFAULT_THRESHOLDS_MS: Final[Thresholds] = {
    "RECEIVED": 300_000,
    "QUEUED": 900_000,
    "RUNNING": 300_000,
    "BLOCKED": 86_400_000,
    "RETRYING": 600_000,
    "STALE": None,
}
STALE: Final = "STALE"
TIMEOUT: Final = "TIMEOUT"
WATCHDOG: Final = "watchdog"


class StaleTask(NamedTuple):
    """A task that went quiet: where it stands, for how long, and what it had time for."""

    snapshot: Snapshot
    age_ms: int
    threshold_ms: int

    @property
    def req(self) -> str:
        """The task's name."""
        return self.snapshot.req

    @property
    def overdue_ms(self) -> int:
        """How long ago it should have been heard of."""
        return self.age_ms - self.threshold_ms


class Overdue(NamedTuple):
    """A task that a sweep has to do with: the state it is to get, and why."""

    snapshot: Snapshot
    state: str
    message: str

    @property
    def event_id(self) -> str:
        """The same for every sweep that finds the task as it is now."""
        return f"{WATCHDOG}:{self.snapshot.req}:{self.snapshot.last_seq}"


class SweepReport(NamedTuple):
    """What a sweep did. ``skipped`` had moved on before it was their turn.

    ``reqs`` are those that were written; of a sweep that only reports, those that were due.
    """

    checked: int
    marked: int
    timed_out: int
    skipped: int
    reqs: tuple[str, ...] = ()


def effective_thresholds(
    machine: StateMachine, *layers: Thresholds | None
) -> dict[str, int | None]:
    """Return the threshold of each open state, later layers before earlier ones.

    None or 0 is never. Raises InvalidStateError, InvalidEventError (a negative one).
    """
    thresholds: dict[str, int | None] = dict.fromkeys(machine.open)
    for layer in layers:
        thresholds |= named_durations(machine, "thresholds", layer)
    return {state: thresholds[state] or None for state in machine.open}


def named_durations(
    machine: StateMachine, name: str, given: Thresholds | None
) -> dict[str, int | None]:
    """Return durations by the state's own spelling. Raises as effective_thresholds."""
    found: dict[str, int | None] = {}
    for word, duration_ms in (given or {}).items():
        if not isinstance(word, str):
            raise InvalidEventError(name, "has states as keys")
        state = machine.canonical(word)
        found[state] = (
            None if duration_ms is None else check_int(f"{name}.{state}", duration_ms)
        )
    return found


def default_thresholds(machine: StateMachine) -> dict[str, int | None]:
    """Return those of the defaults that the machine has a state for."""
    return {
        state: threshold_ms
        for state, threshold_ms in DEFAULT_THRESHOLDS_MS.items()
        if state in machine.open
    }


def by_overdue(tasks: Iterable[StaleTask], limit: int) -> list[StaleTask]:
    """Return the most overdue tasks, the first in the alphabet where they are equal."""
    return sorted(tasks, key=lambda task: (-task.overdue_ms, task.snapshot.req))[:limit]
