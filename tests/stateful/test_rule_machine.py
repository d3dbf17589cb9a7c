"""Any order of calls beside a small model; no order may break what the statements promise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.drills import IS_DRILL
from tests.factories import REVIEW, SIMPLE, Json
from tests.fuzz.budgets import budget, seeded
from tests.scratch import scratch_world
from tests.stateful.model import Model, Refused, Task
from tickets.errors import TicketsError
from tickets.tracker.domain.documents import BulkTask, RetryPolicyDocument, TaskChanges
from tickets.tracker.domain.records import Claim

# A triage stage, a stage for people, and an end that can be opened again.
TRIAGED: Json = {
    "initial": "todo",
    "states": {
        "todo": {"agent_role": "coder"},
        "triage": {"agent_role": "reviewer"},
        "parked": {},
        "done": {"terminal": True, "agent_role": "coder"},
    },
    "transitions": [
        {"from": "todo", "to": "done", "trigger": "complete"},
        {"from": "todo", "to": "todo", "trigger": "again"},
        {"from": "todo", "to": "parked", "trigger": "park"},
        {"from": "parked", "to": "todo", "trigger": "unpark"},
        {"from": "triage", "to": "todo", "trigger": "again"},
        {"from": "done", "to": "todo", "trigger": "reopen"},
    ],
}
DEFINITIONS = [SIMPLE, REVIEW, TRIAGED]
TRIGGERS = sorted({way["trigger"] for each in DEFINITIONS for way in each["transitions"]})
STAGES = sorted({stage for each in DEFINITIONS for stage in each["states"]})
STEPS = 100 if IS_DRILL else 50

agents = st.sampled_from(["a1", "a2"])
roles = st.sampled_from(["coder", "reviewer"])
times_ms = st.sampled_from([1, 49, 50, 100, 300_000])
numbers = st.integers(0, 9)


tasks = st.fixed_dictionaries(
    {
        "pipeline": st.integers(0, 2),
        "priority": st.integers(0, 1),
        "waits_for": st.lists(numbers, max_size=2),
        "assignee": st.none() | agents,
        "max_attempts": st.none() | st.integers(1, 2),
        "delay_ms": st.sampled_from([0, 50]),
        "dead_letter_stage": st.none() | st.sampled_from(["done", "triage"]),
    }
)


class Tracker(RuleBasedStateMachine):
    """The service and the model, told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world, self.clock = self.stack.enter_context(scratch_world())
        self.model = Model()
        self.claims: list[Claim] = []
        self.versions: dict[str, int] = {}

    def teardown(self) -> None:
        self.stack.close()

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def both(self, act: Callable[[], Any], expect: Callable[[], Any]) -> Any:
        """Do the same here and there; answers and refusals must be equal."""
        code = expected_code = answer = expected = None
        try:
            answer = act()
        except TicketsError as error:
            code = error.code
        try:
            expected = expect()
        except Refused as refused:
            expected_code = refused.code
        assert code == expected_code
        return None if code is not None else (answer, expected)

    def id(self, number: int) -> str:
        ids = list(self.model.tasks)
        return ids[number % len(ids)]

    def claim_of(self, number: int) -> Claim:
        # The newest claims are the ones that still matter.
        return self.claims[-1 - number % min(len(self.claims), 4)]

    def has_tasks(self) -> bool:
        return bool(self.model.tasks)

    def has_claims(self) -> bool:
        return bool(self.claims)

    @initialize(first=st.lists(tasks, min_size=2, max_size=4))
    def begin(self, first: list[Json]) -> None:
        self.pipeline_ids = [self.world.pipeline(each) for each in DEFINITIONS]
        for task in first:
            self._create(**task)

    @rule(task=tasks)
    def create(self, task: Json) -> None:
        self._create(**task)

    def _create(
        self,
        pipeline: int,
        priority: int,
        waits_for: list[int],
        assignee: str | None,
        max_attempts: int | None,
        delay_ms: int,
        dead_letter_stage: str | None,
    ) -> None:
        definition = DEFINITIONS[pipeline]
        if dead_letter_stage not in definition["states"]:
            dead_letter_stage = None
        on = {self.id(number) for number in waits_for} if self.model.tasks else set()
        task_id = self.world.task(
            self.pipeline_ids[pipeline],
            retry=RetryPolicyDocument(
                max_attempts=max_attempts,
                retry_delay_ms=delay_ms,
                dead_letter_stage=dead_letter_stage,
            ),
            priority=priority,
            dependencies=sorted(on),
            assigned_agent_id=assignee,
        )
        self.model.tasks[task_id] = Task(
            definition=definition,
            priority=priority,
            created_ms=self.now_ms,
            seq=len(self.model.tasks),
            stage=definition["initial"],
            assignee=assignee,
            waits_for=on,
            max_attempts=max_attempts,
            delay_ms=delay_ms,
            dead_letter_stage=dead_letter_stage,
        )

    @rule(pipeline=st.integers(0, 2), count=st.integers(1, 3), is_chain=st.booleans())
    def create_many(self, pipeline: int, count: int, is_chain: bool) -> None:
        """Create many at once, each one waiting for the one before where it is a chain."""
        definition = DEFINITIONS[pipeline]
        task_ids = self.world.do.creation.create_many(
            [
                BulkTask(
                    pipeline_id=self.pipeline_ids[pipeline],
                    title="t",
                    description="d",
                    ref=f"{number}",
                    depends_on_refs=[f"{number - 1}"] if is_chain and number else None,
                )
                for number in range(count)
            ]
        )
        for number, task_id in enumerate(task_ids):
            self.model.tasks[task_id] = Task(
                definition=definition,
                priority=0,
                created_ms=self.now_ms,
                seq=len(self.model.tasks),
                stage=definition["initial"],
                waits_for={task_ids[number - 1]} if is_chain and number else set(),
            )

    @precondition(has_tasks)
    @rule(
        number=numbers,
        priority=st.none() | st.integers(0, 1),
        max_attempts=st.none() | st.integers(1, 2),
        dead_letter_stage=st.none() | st.sampled_from(STAGES),
        version=st.none() | st.integers(1, 3),
    )
    def change(
        self,
        number: int,
        priority: int | None,
        max_attempts: int | None,
        dead_letter_stage: str | None,
        version: int | None,
    ) -> None:
        """Change what a task is, while it waits, is held, or is dead."""
        task_id = self.id(number)
        policy = RetryPolicyDocument(
            max_attempts=max_attempts, dead_letter_stage=dead_letter_stage
        )
        changes = TaskChanges(
            priority=priority, retry_policy=policy, expected_task_version=version
        )
        self.both(
            lambda: self.world.do.tasks.change(task_id, changes),
            lambda: self.model.change(
                task_id, priority, max_attempts, dead_letter_stage, version
            ),
        )

    @precondition(has_tasks)
    @rule(role=roles, agent=agents, ttl_ms=st.sampled_from([1, 50, 100]))
    def claim(self, role: str, agent: str, ttl_ms: int) -> None:
        self.model.sweep(self.now_ms)
        expected = self.model.claim(role, agent, ttl_ms, self.now_ms)

        claims = self.world.claims(role, agent, lease_ttl_ms=ttl_ms)

        assert [each.task.id for each in claims] == ([] if expected is None else [expected])
        self.claims += claims

    @precondition(has_tasks)
    @rule(
        role=roles,
        agent=agents,
        exit_=numbers,
        how=st.sampled_from(["go", "go", "fail", "die", "beat and die", "vanish"]),
    )
    def work(self, role: str, agent: str, exit_: int, how: str) -> None:
        """Go through a whole run at once, so that tasks have a past."""
        held = len(self.claims)
        self.claim(role, agent, 100)
        if len(self.claims) == held:
            return
        if how == "go":
            self.transition(0, "none", exit_)
        elif how == "fail":
            self.fail(0)
        else:
            if how == "die":
                self.event(0)
            elif how == "beat and die":
                self.heartbeat(0, 100)
            self.clock.advance(ms=100)

    @precondition(has_tasks)
    @rule(role=roles, agent=agents, wanted=st.integers(2, 4))
    def claim_many(self, role: str, agent: str, wanted: int) -> None:
        self.model.sweep(self.now_ms)
        expected = [self.model.claim(role, agent, 100, self.now_ms) for _ in range(wanted)]

        claims = self.world.claims(role, agent, lease_ttl_ms=100, max_tasks=wanted)

        assert [each.task.id for each in claims] == [id_ for id_ in expected if id_ is not None]
        self.claims += claims

    @precondition(has_claims)
    @rule(number=numbers, trigger=st.sampled_from(TRIGGERS), exit_=st.none() | numbers)
    def transition(self, number: int, trigger: str, exit_: int | None) -> None:
        claim = self.claim_of(number)
        task = self.model.tasks[claim.task.id]
        ways = [
            way["trigger"]
            for way in task.definition["transitions"]
            if way["from"] == task.stage
        ]
        if exit_ is not None and ways:
            trigger = ways[exit_ % len(ways)]
        self.both(
            lambda: self.world.transition(claim, trigger),
            lambda: self.model.transition(
                claim.task.id, claim.run.attempt, trigger, None, self.now_ms
            ),
        )

    @precondition(has_claims)
    @rule(number=numbers, version=st.integers(1, 3))
    def transition_of_a_version(self, number: int, version: int) -> None:
        claim = self.claim_of(number)
        self.both(
            lambda: self.world.transition(claim, "complete", expected_task_version=version),
            lambda: self.model.transition(
                claim.task.id, claim.run.attempt, "complete", version, self.now_ms
            ),
        )

    @precondition(has_claims)
    @rule(number=numbers)
    def fail(self, number: int) -> None:
        claim = self.claim_of(number)
        self.both(
            lambda: self.world.fail(claim),
            lambda: self.model.fail(claim.task.id, claim.run.attempt, self.now_ms),
        )

    @precondition(has_claims)
    @rule(number=numbers)
    def release(self, number: int) -> None:
        claim = self.claim_of(number)
        self.both(
            lambda: self.world.release(claim),
            lambda: self.model.release(claim.task.id, claim.run.attempt, self.now_ms),
        )

    @precondition(has_claims)
    @rule(number=numbers, ttl_ms=st.none() | st.sampled_from([1, 100]))
    def heartbeat(self, number: int, ttl_ms: int | None) -> None:
        claim = self.claim_of(number)
        answers = self.both(
            lambda: self.world.heartbeat(claim, ttl_ms),
            lambda: self.model.heartbeat(claim.task.id, claim.run.attempt, ttl_ms, self.now_ms),
        )
        assert answers is None or answers[0] == answers[1]

    @precondition(has_claims)
    @rule(number=numbers)
    def event(self, number: int) -> None:
        claim = self.claim_of(number)
        self.both(
            lambda: self.world.event(claim),
            lambda: self.model.event(claim.task.id, claim.run.attempt, self.now_ms),
        )

    @precondition(has_tasks)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        task_id = self.id(number)
        self.both(
            lambda: self.world.do.dead_letters.cancel(task_id, reason=None),
            lambda: self.model.cancel(task_id, self.now_ms),
        )

    @precondition(has_tasks)
    @rule(number=numbers, stage=st.none() | st.sampled_from(STAGES))
    def requeue(self, number: int, stage: str | None) -> None:
        task_id = self.id(number)
        self.both(
            lambda: self.world.do.dead_letters.requeue(task_id, stage=stage),
            lambda: self.model.requeue(task_id, stage, self.now_ms),
        )

    @precondition(has_tasks)
    @rule(number=numbers, agent=agents)
    def assign(self, number: int, agent: str) -> None:
        task_id = self.id(number)
        self.world.assign(task_id, agent)
        self.model.tasks[task_id].assignee = agent

    @precondition(has_tasks)
    @rule(number=numbers, agent=agents)
    def unassign(self, number: int, agent: str) -> None:
        task_id = self.id(number)
        self.both(
            lambda: self.world.do.assignments.unassign(task_id, agent),
            lambda: self.model.unassign(task_id, agent),
        )

    @precondition(has_tasks)
    @rule(number=numbers, other=numbers)
    def depend(self, number: int, other: int) -> None:
        task_id, on = self.id(number), self.id(other)
        self.both(
            lambda: self.world.depend(task_id, on), lambda: self.model.depend(task_id, on)
        )

    @precondition(has_tasks)
    @rule(number=numbers, other=numbers)
    def undepend(self, number: int, other: int) -> None:
        task_id, on = self.id(number), self.id(other)
        self.both(
            lambda: self.world.do.dependencies.remove(task_id, on),
            lambda: self.model.undepend(task_id, on),
        )

    @rule(ms=times_ms)
    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    @rule()
    def housekeeping(self) -> None:
        self.world.advance()
        self.model.sweep(self.now_ms)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        for task_id, task in self.model.tasks.items():
            row = self.world.row(task_id)
            assert {
                "stage": row["stage"],
                "version": row["task_version"],
                "reason": row["dead_letter_reason"],
                "failed": row["failed_attempts"],
                "eligible_ms": row["next_eligible_at_ms"],
                "is_dead": bool(row["is_dead"]),
                "is_leased": bool(row["is_leased"]),
                "assignee": row["claim_assignee"],
            } == {
                "stage": task.stage,
                "version": task.version,
                "reason": task.reason,
                "failed": task.failed,
                "eligible_ms": task.eligible_ms,
                "is_dead": task.is_dead,
                "is_leased": task.lease is not None,
                "assignee": task.assignee,
            }

    @invariant()
    def runs_are_as_the_model_says(self) -> None:
        found = self.world.query("SELECT task_id, status FROM runs ORDER BY task_id, attempt")
        expected = [
            (task_id, status)
            for task_id, task in sorted(self.model.tasks.items())
            for status in task.runs
        ]
        assert found == expected

    @invariant()
    def versions_never_fall(self) -> None:
        for task_id, version in self.world.query("SELECT id, task_version FROM tasks"):
            assert version >= self.versions.get(task_id, 1)
            self.versions[task_id] = version

    @invariant()
    def promises_are_kept(self) -> None:
        self.world.check()


@pytest.mark.drill
def test_no_order_of_calls_leaves_the_model() -> None:
    run_state_machine_as_test(
        seeded(Tracker), settings=budget(60, drill=280, stateful_step_count=STEPS)
    )
