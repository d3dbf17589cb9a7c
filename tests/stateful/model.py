"""The rules of tasks and leases once more, as small and as slow as they can be."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from tests.factories import NEVER_MS, Json

FLOOR_MS = 300_000


class Refused(Exception):
    """The code with which the service would refuse."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Lease:
    """The lease of a task's newest run."""

    ends_ms: int
    ttl_ms: int
    showed_life: bool = False


@dataclass
class Task:
    """A task; ``runs`` are the statuses of its attempts."""

    definition: Json
    priority: int
    created_ms: int
    seq: int
    stage: str
    assignee: str | None = None
    waits_for: set[str] = field(default_factory=set)
    max_attempts: int | None = None
    delay_ms: int = 0
    dead_letter_stage: str | None = None
    version: int = 1
    reason: str | None = None
    is_dead: bool = False
    given_up_in: str | None = None
    failed: int = 0
    eligible_ms: int = 0
    runs: list[str] = field(default_factory=list)
    lease: Lease | None = None
    # What became of the leases of earlier runs: gone, or over.
    over: set[int] = field(default_factory=set)

    @property
    def state(self) -> Json:
        """The definition of the present stage."""
        state: Json = self.definition["states"][self.stage]
        return state

    @property
    def is_terminal(self) -> bool:
        """Whether the present stage is an end."""
        return bool(self.state.get("terminal"))

    @property
    def is_resolved(self) -> bool:
        """Whether tasks that wait for this one may start."""
        return self.is_terminal and self.reason is None

    def end_run(self, status: str, *, keeps_lease: bool) -> None:
        """Write the end of the newest run."""
        self.runs[-1] = status
        self.lease = None
        if keeps_lease:
            self.over.add(len(self.runs))

    def move(self, stage: str) -> None:
        """Enter a stage with everything new."""
        self.version += 1
        self.renew(stage)

    def renew(self, stage: str) -> None:
        """Be as new in a stage."""
        self.stage = stage
        self.reason = self.given_up_in = None
        self.is_dead = False
        self.failed = self.eligible_ms = 0

    def failed_once(self, *, is_charged: bool, at_ms: int) -> None:
        """Wait for the next try, or be given up."""
        failed = self.failed + is_charged
        if is_charged and self.max_attempts is not None and failed >= self.max_attempts:
            self.give_up(failed)
            return
        self.failed = failed
        self.eligible_ms = at_ms + self.delay_ms

    def give_up(self, failed: int) -> None:
        """Go to the dead letter."""
        self.given_up_in = self.given_up_in or self.stage
        is_move = self.dead_letter_stage not in (None, self.stage)
        if self.dead_letter_stage is not None:
            self.version += 1
            self.stage = self.dead_letter_stage
        is_triage = is_move and not self.is_terminal and "agent_role" in self.state
        self.reason = "max_attempts_exceeded"
        self.is_dead = not is_triage
        self.failed = 0 if is_triage else failed
        self.eligible_ms = 0 if is_triage else NEVER_MS

    def expire_if_over(self, now_ms: int) -> None:
        """End a run whose time is over."""
        lease = self.lease
        if lease is not None and lease.ends_ms <= now_ms:
            self.end_run("stale", keeps_lease=True)
            self.failed_once(is_charged=lease.showed_life, at_ms=lease.ends_ms)


class Model:
    """All tasks, by id."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}

    def sweep(self, now_ms: int) -> None:
        """End every run whose time is over."""
        for task in self.tasks.values():
            task.expire_if_over(now_ms)

    def best(self, role: str, agent: str, now_ms: int) -> str | None:
        """Return the task that a claim gets."""
        able = [
            (-task.priority, task.assignee != agent, task.created_ms, task.seq, task_id)
            for task_id, task in self.tasks.items()
            if task.state.get("agent_role") == role
            and not task.is_dead
            and task.lease is None
            and task.eligible_ms <= now_ms
            and task.assignee in (None, agent)
            and all(self.tasks[on].is_resolved for on in task.waits_for)
        ]
        return min(able)[-1] if able else None

    def claim(self, role: str, agent: str, ttl_ms: int, now_ms: int) -> str | None:
        """Hold the best task."""
        task_id = self.best(role, agent, now_ms)
        if task_id is not None:
            task = self.tasks[task_id]
            task.runs.append("running")
            task.lease = Lease(now_ms + ttl_ms, ttl_ms)
        return task_id

    def held(self, task_id: str, attempt: int, now_ms: int) -> tuple[Task, Lease]:
        """Return a task and the lease of one of its attempts, while that runs."""
        task = self.tasks[task_id]
        if attempt in task.over:
            raise Refused("expired")
        if attempt < len(task.runs) or task.lease is None:
            raise Refused("not_found")
        if task.lease.ends_ms <= now_ms:
            raise Refused("expired")
        return task, task.lease

    def transition(
        self, task_id: str, attempt: int, trigger: str, version: int | None, now_ms: int
    ) -> None:
        """Complete a run."""
        task, _ = self.held(task_id, attempt, now_ms)
        if version not in (None, task.version):
            raise Refused("task_version_mismatch")
        for way in task.definition["transitions"]:
            if (way["from"], way["trigger"]) == (task.stage, trigger):
                task.end_run("completed", keeps_lease=False)
                task.move(way["to"])
                return
        raise Refused("invalid_transition")

    def fail(self, task_id: str, attempt: int, now_ms: int) -> None:
        """Fail a run."""
        task, _ = self.held(task_id, attempt, now_ms)
        task.end_run("failed", keeps_lease=False)
        task.failed_once(is_charged=True, at_ms=now_ms)

    def release(self, task_id: str, attempt: int, now_ms: int) -> None:
        """Give a task back."""
        task, _ = self.held(task_id, attempt, now_ms)
        task.end_run("released", keeps_lease=False)

    def heartbeat(self, task_id: str, attempt: int, ttl_ms: int | None, now_ms: int) -> int:
        """Keep a lease alive; return its end."""
        _, lease = self.held(task_id, attempt, now_ms)
        lease.showed_life = True
        if ttl_ms is not None:
            lease.ttl_ms = ttl_ms
            lease.ends_ms = now_ms + ttl_ms
        else:
            lease.ends_ms = max(lease.ends_ms, now_ms + max(lease.ttl_ms, FLOOR_MS))
        return lease.ends_ms

    def event(self, task_id: str, attempt: int, now_ms: int) -> None:
        """Show life."""
        _, lease = self.held(task_id, attempt, now_ms)
        lease.showed_life = True

    def change(
        self,
        task_id: str,
        priority: int | None,
        max_attempts: int | None,
        dead_letter_stage: str | None,
        version: int | None,
    ) -> None:
        """Change what a task is; its retry policy is replaced as a whole."""
        task = self.tasks[task_id]
        if version not in (None, task.version):
            raise Refused("task_version_mismatch")
        if dead_letter_stage is not None and dead_letter_stage not in task.definition["states"]:
            raise Refused("invalid_request")
        task.priority = task.priority if priority is None else priority
        task.max_attempts, task.dead_letter_stage = max_attempts, dead_letter_stage
        task.delay_ms = 0

    def cancel(self, task_id: str, now_ms: int) -> None:
        """Take a task out of the queue."""
        task = copy.deepcopy(self.tasks[task_id])
        task.expire_if_over(now_ms)
        if task.reason != "cancelled":
            if task.is_terminal:
                raise Refused("task_terminal")
            if task.lease is not None:
                task.end_run("cancelled", keeps_lease=True)
            task.given_up_in = task.given_up_in or task.stage
            task.reason, task.is_dead, task.eligible_ms = "cancelled", True, NEVER_MS
        self.tasks[task_id] = task

    def requeue(self, task_id: str, stage: str | None, now_ms: int) -> None:
        """Put a task back into the queue."""
        task = copy.deepcopy(self.tasks[task_id])
        task.expire_if_over(now_ms)
        if task.reason is None:
            raise Refused("not_dead_lettered")
        if task.lease is not None:
            raise Refused("task_leased")
        target = stage or task.given_up_in or task.stage
        if target not in task.definition["states"]:
            raise Refused("invalid_request")
        task.version += target != task.stage
        task.renew(target)
        self.tasks[task_id] = task

    def depend(self, task_id: str, on: str) -> None:
        """Let a task wait for another."""
        if task_id == on:
            raise Refused("invalid_dependency")
        if self._leads(on, task_id):
            raise Refused("dependency_cycle")
        if on in self.tasks[task_id].waits_for:
            raise Refused("duplicate_dependency")
        self.tasks[task_id].waits_for.add(on)

    def _leads(self, start: str, target: str) -> bool:
        return start == target or any(
            self._leads(on, target) for on in self.tasks[start].waits_for
        )

    def undepend(self, task_id: str, on: str) -> None:
        """Let a task no longer wait for another."""
        if on not in self.tasks[task_id].waits_for:
            raise Refused("not_found")
        self.tasks[task_id].waits_for.remove(on)

    def unassign(self, task_id: str, agent: str) -> None:
        """End an assignment."""
        if self.tasks[task_id].assignee != agent:
            raise Refused("not_found")
        self.tasks[task_id].assignee = None
