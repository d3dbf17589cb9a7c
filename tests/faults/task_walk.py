"""Where the changes of a task lead: to what its row says, and to what the ledger was told."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

from tests.factories import Json
from tests.worlds import World

# Stages in which the tasks of the drill end.
ENDS = {
    "done": "COMPLETED",
    "over": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
# What a task is not while it is held.
NOT_HELD = ("QUEUED", "RETRYING")


@dataclass
class Walk:
    """A task, followed from change to change by the rules of docs/ledger.md."""

    told: list[tuple[str, str]] = field(default_factory=list)
    state: str = ""
    is_running: bool = False
    is_held: bool = False
    is_over: bool = False

    def take(self, kind: str, run_id: str | None, data: Json) -> None:
        """Follow one change; most kinds say nothing of where the task is."""
        family, _, fact = kind.partition(".")
        follow = getattr(self, f"_{family}_{fact}", None)
        if follow is not None:
            follow(run_id or "0", data)

    def _task_created(self, run: str, _data: Json) -> None:
        self._tell(f"{run}:created", "RECEIVED")

    def _task_claimed(self, run: str, _data: Json) -> None:
        self.is_running, self.is_over = True, False
        self._tell(f"{run}:claimed", "RUNNING")

    def _run_transitioned(self, run: str, data: Json) -> None:
        self._run_over(f"{run}:moved", ENDS.get(data["to"], "QUEUED"))

    def _run_released(self, run: str, _data: Json) -> None:
        self._run_over(f"{run}:released", "QUEUED")

    def _run_failed(self, run: str, _data: Json) -> None:
        self._run_over(f"{run}:retrying", "RETRYING")

    def _lease_expired(self, run: str, _data: Json) -> None:
        self.is_running = False
        # A held task stays so, whatever becomes of its run.
        if not self.is_held:
            self._tell(f"{run}:expired", "STALE")

    def _task_dead_lettered(self, run: str, _data: Json) -> None:
        if self.told[-1][0] == f"{run}:retrying":
            # It was the last try, and there is one event for both.
            self.told.pop()
        self._tell(f"{run}:dead_lettered", "FAILED")

    def _task_cancelled(self, run: str, _data: Json) -> None:
        self._run_over(f"{run}:withdrawn", "CANCELLED")
        self.is_over = True

    _task_withdrawn = _task_cancelled

    def _task_requeued(self, run: str, _data: Json) -> None:
        self.is_over = False
        self._tell(f"{run}:requeued", "QUEUED")

    def _task_held(self, run: str, _data: Json) -> None:
        self.is_held = True
        self._tell(f"{run}:held", "BLOCKED")

    def _task_unheld(self, run: str, _data: Json) -> None:
        self.is_held = False
        self._tell(f"{run}:let_go", "RUNNING" if self.is_running else "QUEUED")

    def _run_over(self, fact: str, state: str) -> None:
        self.is_running = False
        self._tell(fact, "BLOCKED" if self.is_held and state in NOT_HELD else state)

    def _tell(self, fact: str, state: str) -> None:
        if not self.is_over:
            self.told.append((fact, state))
            self.state = state
            self.is_over = state in ENDS.values()


def check_tasks(world: World) -> int:
    """Compare tasks, their changes and the ledger; return how many facts there were."""
    walks: dict[str, Walk] = defaultdict(Walk)
    for task_id, kind, run_id, data_json in world.query(
        "SELECT task_id, kind, run_id, data_json FROM changes"
        " WHERE task_id IS NOT NULL ORDER BY id"
    ):
        walks[task_id].take(kind, run_id, json.loads(data_json))
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    states: dict[str, str] = {}
    for req, state, event_id in world.query(
        "SELECT req, state, event_id FROM task_events WHERE source = 'tracker' ORDER BY seq"
    ):
        task_id = req.split(":")[1]
        states[task_id] = state
        if event_id is not None:
            run, fact, _version = event_id.removeprefix(f"{req}:").split(":")
            told[task_id].append((f"{run}:{fact.split('-')[0]}", state))
    rows = world.query("SELECT id, is_leased, is_held, is_dead, is_terminal FROM tasks")
    assert {row[0] for row in rows} == set(walks) == set(told)
    for task_id, is_leased, is_held, is_dead, is_terminal in rows:
        walk = walks[task_id]
        assert told[task_id] == walk.told, (task_id, told[task_id], walk.told)
        assert states[task_id] == walk.state, task_id
        assert (is_leased, is_held) == (walk.is_running, walk.is_held), task_id
        assert bool(is_dead or is_terminal) == walk.is_over, task_id
    return sum(len(each) for each in told.values())
