"""How a ticket gets to the status of its issue: over the edges there are, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tickets.lifecycle.linear.states import TERMINAL

Step: TypeAlias = Literal[
    "dispatch", "external_start", "block", "unblock", "complete", "cancel"
]


@dataclass(frozen=True, slots=True)
class Walk:
    """Steps in their order, or the code of the conflict why there are none."""

    steps: tuple[Step, ...] = field(default=())
    conflict: str | None = None


_TO: Final[dict[tuple[str, str], tuple[Step, ...]]] = {
    ("open", "blocked"): ("external_start", "block"),
    ("open", "done"): ("external_start", "complete"),
    ("open", "cancelled"): ("cancel",),
    ("in_progress", "blocked"): ("block",),
    ("in_progress", "done"): ("complete",),
    ("in_progress", "cancelled"): ("cancel",),
    ("blocked", "in_progress"): ("unblock",),
    ("blocked", "done"): ("unblock", "complete"),
    ("blocked", "cancelled"): ("cancel",),
}
# The steps that start work, which nothing may that others block.
_STARTS: Final = frozenset({"external_start", "unblock"})


def walk(local: str, remote: str, *, is_assigned: bool, is_blocked: bool) -> Walk:
    """Return the way from the ticket's status to the issue's.

    A ticket that is assigned and open asks the dispatcher to start, which may let it wait; all
    other steps are taken or the whole walk is refused.
    """
    if local == remote:
        return Walk()
    if local in TERMINAL:
        return Walk(conflict="terminal_locally")
    if (local, remote) == ("open", "in_progress"):
        if is_assigned:
            return Walk(("dispatch",))
        return _guarded(("external_start",), is_blocked=is_blocked)
    steps = _TO.get((local, remote))
    if steps is None:
        return Walk(conflict="unsupported_transition")
    return _guarded(steps, is_blocked=is_blocked)


def _guarded(steps: tuple[Step, ...], *, is_blocked: bool) -> Walk:
    if is_blocked and _STARTS & set(steps):
        return Walk(conflict="blocked_by_dependency")
    return Walk(steps)
