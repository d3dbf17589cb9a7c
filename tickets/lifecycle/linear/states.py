"""Our statuses and the states of a Linear team, both ways.

A team has states of its own; what they have in common is their type. A status of ours that no
type stands for (blocked, failed) goes to a state that is named like it, and ``status_map`` of
an integration says otherwise where somebody wants it otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STATUSES: Final = ("open", "in_progress", "blocked", "done", "cancelled", "failed")
TERMINAL: Final = frozenset({"done", "failed", "cancelled"})

_STATUS_OF_TYPE: Final = {
    "triage": "open",
    "backlog": "open",
    "unstarted": "open",
    "started": "in_progress",
    "completed": "done",
    "canceled": "cancelled",
    "duplicate": "cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A workflow state of a team, or the one that an issue is in."""

    id: str
    name: str
    type: str
    position: float = 0.0

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> State:
        """Return the state of a document of Linear's, whatever is missing from it."""
        position = document.get("position")
        is_number = isinstance(position, int | float) and not isinstance(position, bool)
        return cls(
            id=str(document.get("id") or ""),
            name=str(document.get("name") or ""),
            type=str(document.get("type") or ""),
            position=float(position) if is_number else 0.0,  # type: ignore[arg-type]  # looked at one line above
        )


@dataclass(frozen=True, slots=True)
class Workflow:
    """A team's states, and what an integration says that they mean: status → state id."""

    states: tuple[State, ...] = ()
    status_map: Mapping[str, str] = field(default_factory=dict)

    def status_of(self, state: State) -> str | None:
        """Return what a state is to us, None where it is nothing that we know."""
        for status in STATUSES:
            if self.status_map.get(status) == state.id:
                return status
        if state.type == "started" and "blocked" in state.name.lower():
            return "blocked"
        return _STATUS_OF_TYPE.get(state.type)

    def state_for(self, status: str, *, is_duplicate: bool = False) -> State | None:
        """Return the state that stands for a status; None where the team has none.

        ``is_duplicate`` says of a cancelled ticket that it is the duplicate of another.
        """
        chosen = self.status_map.get(status)
        if chosen is not None:
            # Also where the list of states is older than the state.
            known = [state for state in self.states if state.id == chosen]
            return known[0] if known else State(id=chosen, name="", type="")
        if status == "open":
            return self._first("unstarted") or self._first("backlog")
        if status == "in_progress":
            return self._first("started", avoid="blocked") or self._first("started")
        if status == "blocked":
            return self._first("started", like="blocked") or self._first("started")
        if status == "done":
            return self._first("completed")
        if status == "failed":
            return self._first("canceled", like="failed") or self._first("canceled")
        return (self._first("duplicate") if is_duplicate else None) or (
            self._first("canceled", avoid="failed") or self._first("canceled")
        )

    def as_seen(self, status: str) -> str:
        """Return a status as it would come back from Linear, which cannot say all of ours."""
        state = self.state_for(status)
        return (None if state is None else self.status_of(state)) or status

    def push_for(
        self, status: str, present: State | None, *, is_duplicate: bool = False
    ) -> State | None:
        """Return the state to move an issue to; None where it is in one that says as much."""
        wanted = self.state_for(status, is_duplicate=is_duplicate)
        if wanted is None or present is None or wanted.id == present.id:
            return None if wanted is None or present is not None else wanted
        return None if self.status_of(present) == self.status_of(wanted) else wanted

    def _first(self, type_: str, *, like: str = "", avoid: str = "") -> State | None:
        """Return the state of a type that stands first in the team's board."""
        fitting = [
            state
            for state in self.states
            if state.type == type_
            and like in state.name.lower()
            and not (avoid and avoid in state.name.lower())
        ]
        return min(fitting, key=lambda state: (state.position, state.id), default=None)
