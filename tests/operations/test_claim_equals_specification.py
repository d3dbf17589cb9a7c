"""Two statements of one rule: what a claim takes is what the specification says.

The claim reads flags and an index that the operations keep; here the same is decided from
the facts themselves, for every task there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import FrozenClock
from tests.factories import NEVER_MS, REVIEW, SIMPLE, Json
from tests.scratch import scratch_world
from tests.worlds import World, refusal
from tickets.db.database import Row
from tickets.tracker.domain.documents import RetryPolicyDocument
from tickets.tracker.domain.eligibility import Candidate, claim_order, is_eligible
from tickets.tracker.domain.records import Claim

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
        {"from": "todo", "to": "parked", "trigger": "park"},
        {"from": "parked", "to": "todo", "trigger": "unpark"},
        {"from": "triage", "to": "todo", "trigger": "again"},
        {"from": "done", "to": "todo", "trigger": "reopen"},
    ],
}
# The stage names of the first two mean different roles in the third.
CROSSED: Json = {
    "initial": "review",
    "states": {
        "review": {"agent_role": "coder"},
        "todo": {"agent_role": "reviewer"},
        "done": {"terminal": True},
    },
    "transitions": [
        {"from": "review", "to": "todo", "trigger": "submit"},
        {"from": "todo", "to": "done", "trigger": "approve"},
    ],
}
DEFINITIONS = [SIMPLE, REVIEW, TRIAGED, CROSSED]
ROLES = ["coder", "reviewer"]
AGENTS = ["a1", "a2"]

number = st.integers(0, 11)
agent = st.sampled_from(AGENTS)
created = st.tuples(
    st.just("create"),
    st.integers(0, 3),
    st.integers(0, 1),
    st.lists(number, max_size=2),
    st.none() | agent,
    st.sampled_from([None, "plain", "triage", "done"]),
)
STEPS = st.lists(
    st.one_of(
        created,
        # a whole run at once, so that worlds have a past
        st.tuples(
            st.just("work"),
            st.sampled_from(ROLES),
            agent,
            number,
            st.sampled_from(["go", "go", "fail", "release", "die"]),
        ),
        st.tuples(
            st.just("claim"),
            st.sampled_from(ROLES),
            agent,
            st.sampled_from([1, 1, 1, 3]),
            st.none() | st.dictionaries(st.sampled_from(["todo", "review"]), st.integers(1, 2)),
        ),
        st.tuples(st.just("end"), number, st.sampled_from(["go", "fail", "release", "live"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 49, 50, 100])),
        st.tuples(st.sampled_from(["cancel", "requeue"]), number),
        st.tuples(st.sampled_from(["assign", "unassign"]), number, agent),
        st.tuples(st.sampled_from(["depend", "undepend"]), number, number),
        st.tuples(st.sampled_from(["hold", "unhold"]), number),
    ),
    min_size=10,
    max_size=40,
)


class Acting:
    """Takes steps in a world; numbers wrap around, what is refused is no step."""

    def __init__(self, world: World, clock: FrozenClock) -> None:
        self.world = world
        self.clock = clock
        self.pipelines = [world.pipeline(definition) for definition in DEFINITIONS]
        self.ids: list[str] = []
        self.held: list[Claim] = []
        self.on_hold: set[str] = set()

    def take(self, name: str, *details: Any) -> None:
        if name == "create" or self.ids:
            getattr(self, name)(*details)

    def id(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    def create(
        self,
        pipeline: int,
        priority: int,
        dependencies: Sequence[int],
        assignee: str | None,
        policy: str | None,
    ) -> None:
        retry = None
        if policy is not None:
            stage = policy if policy in DEFINITIONS[pipeline]["states"] else None
            retry = RetryPolicyDocument(
                max_attempts=1, retry_delay_ms=50, dead_letter_stage=stage
            )
        chosen = {self.id(n) for n in dependencies} if self.ids else set()
        self.ids.append(
            self.world.task(
                self.pipelines[pipeline],
                retry=retry,
                priority=priority,
                dependencies=sorted(chosen),
                assigned_agent_id=assignee,
            )
        )

    def claim(
        self, role: str, agent_id: str, wanted: int, limits: dict[str, int | None] | None
    ) -> None:
        self.world.advance()
        expected = self.expected(role, agent_id, wanted, limits or {})

        claims = self.world.claims(
            role, agent_id, max_tasks=wanted, lease_ttl_ms=100, per_state=limits
        )

        assert [claim.task.id for claim in claims] == expected
        self.held += claims

    def expected(
        self, role: str, agent_id: str, wanted: int, limits: dict[str, int | None]
    ) -> list[str]:
        """Return what the specification grants, looking at every task."""
        now_ms = self.clock.now_ms()
        tasks = [self.world.row(task_id) for task_id in self.ids]
        places = {
            stage: (limit or 0) - sum(t["stage"] == stage and self.is_held(t) for t in tasks)
            for stage, limit in limits.items()
        }
        best = sorted(
            (
                (self.order(task, agent_id), task)
                for task in tasks
                if is_eligible(
                    self.candidate(task), agent_id=agent_id, agent_role=role, now_ms=now_ms
                )
            ),
            key=lambda each: each[0],
        )
        granted: list[str] = []
        for _, task in best:
            if len(granted) < wanted and places.get(task["stage"], 1) > 0:
                granted.append(task["id"])
                if task["stage"] in places:
                    places[task["stage"]] -= 1
        return granted

    def order(self, task: Row, agent_id: str) -> tuple[int, ...]:
        return claim_order(
            priority=task["priority"],
            is_assigned=self.assignee(task) == agent_id,
            created_at_ms=task["created_at_ms"],
            seq=task["seq"],
        )

    def candidate(self, task: Row) -> Candidate:
        """Return what decides, from facts and not from the columns that the claim reads."""
        state = self.state(task)
        targets = self.world.query(
            "SELECT depends_on_task_id FROM task_dependencies WHERE task_id = ?", task["id"]
        )
        return Candidate(
            agent_role=state.get("agent_role"),
            is_terminal=bool(state.get("terminal")),
            is_dead=task["next_eligible_at_ms"] == NEVER_MS,
            dead_letter_reason=task["dead_letter_reason"],
            next_eligible_at_ms=task["next_eligible_at_ms"],
            open_dependency_ids=[
                target for (target,) in targets if not self.is_resolved(self.world.row(target))
            ],
            is_held=task["id"] in self.on_hold,
            assignee=self.assignee(task),
            lease_expires_at_ms=self.lease_end(task),
        )

    def state(self, task: Row) -> Json:
        ((text,),) = self.world.query(
            "SELECT definition_json FROM pipelines WHERE id = ?", task["pipeline_id"]
        )
        state: Json = json.loads(text)["states"][task["stage"]]
        return state

    def is_resolved(self, task: Row) -> bool:
        return bool(self.state(task).get("terminal")) and task["dead_letter_reason"] is None

    def assignee(self, task: Row) -> str | None:
        rows = self.world.query(
            "SELECT agent_id FROM task_assignments WHERE task_id = ? AND active = 1", task["id"]
        )
        return rows[0][0] if rows else None

    def lease_end(self, task: Row) -> int | None:
        rows = self.world.query(
            "SELECT expires_at_ms FROM leases WHERE task_id = ? AND status = 'active'",
            task["id"],
        )
        return rows[0][0] if rows else None

    def is_held(self, task: Row) -> bool:
        end_ms = self.lease_end(task)
        return end_ms is not None and end_ms > self.clock.now_ms()

    def work(self, role: str, agent_id: str, number: int, how: str) -> None:
        held = len(self.held)
        self.claim(role, agent_id, 1, None)
        if len(self.held) > held:
            if how == "die":
                refusal(self.world.event, self.held[-1])
                self.wait(100)
            else:
                self.finish(self.held[-1], number, how)

    def end(self, number: int, how: str) -> None:
        if not self.held:
            return
        self.finish(self.held[number % len(self.held)], number, how)

    def finish(self, claim: Claim, number: int, how: str) -> None:
        act = {"fail": self.world.fail, "release": self.world.release, "live": self.world.event}
        if how in act:
            refusal(act[how], claim)
            return
        task = self.world.row(claim.task.id)
        exits = self.world.do.details.get(task["id"], reader=None).available_transitions
        if exits:
            refusal(self.world.transition, claim, exits[number % len(exits)].trigger)

    def wait(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    def cancel(self, number: int) -> None:
        refusal(self.world.do.dead_letters.cancel, self.id(number), reason=None)

    def requeue(self, number: int) -> None:
        refusal(self.world.do.dead_letters.requeue, self.id(number), stage=None)

    def assign(self, number: int, agent_id: str) -> None:
        self.world.assign(self.id(number), agent_id)

    def unassign(self, number: int, agent_id: str) -> None:
        refusal(self.world.do.assignments.unassign, self.id(number), agent_id)

    def depend(self, number: int, other: int) -> None:
        refusal(self.world.depend, self.id(number), self.id(other))

    def undepend(self, number: int, other: int) -> None:
        refusal(self.world.do.dependencies.remove, self.id(number), self.id(other))

    def hold(self, number: int) -> None:
        self.world.do.managed.hold(self.id(number))
        self.on_hold.add(self.id(number))

    def unhold(self, number: int) -> None:
        self.world.do.managed.unhold(self.id(number))
        self.on_hold.discard(self.id(number))


# D-03: every condition is inside the selection
# D-54: one's own tasks go first at equal priority
# D-59: the order of creation decides the last ties
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(first=st.lists(created, min_size=3, max_size=6), steps=STEPS)
def test_a_claim_takes_what_the_specification_grants(
    first: list[tuple[Any, ...]], steps: list[tuple[Any, ...]]
) -> None:
    with scratch_world() as (world, clock):
        acting = Acting(world, clock)
        for name, *details in first + steps:
            acting.take(name, *details)

        for role in ROLES:
            for agent_id in AGENTS:
                acting.take("claim", role, agent_id, 1, {"todo": 1, "review": 1})
                acting.take("claim", role, agent_id, 3, {"todo": 2, "review": 2})
                acting.take("claim", role, agent_id, 100, None)
        world.check()
