from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import FrozenClock
from tests.factories import Factory
from tickets.db.database import Database
from tickets.tracker.domain.documents import QueueQuery
from tickets.tracker.domain.records import RoleQueue
from tickets.tracker.operations.queue import QueueOperations

ZEROS = {
    "claimable_count": 0,
    "oldest_claimable_age_ms": None,
    "failed_count": 0,
    "stuck_count": 0,
    "near_expiry_leases": 0,
    "assigned_count": 0,
    "blocked_count": 0,
    "scheduled_count": 0,
    "leased_count": 0,
    "dead_letter_count": 0,
    "expired_leases": 0,
}

REVIEWED: dict[str, Any] = {
    "initial": "coding",
    "states": {
        "coding": {"agent_role": "coder"},
        "review": {"agent_role": "reviewer"},
        "parked": {},
        "done": {"terminal": True},
    },
    "transitions": [
        {"from": "coding", "to": "review", "trigger": "submit"},
        {"from": "coding", "to": "parked", "trigger": "park"},
        {"from": "parked", "to": "coding", "trigger": "resume"},
        {"from": "review", "to": "done", "trigger": "approve"},
    ],
}


class Queue:
    """The statistics as a test compares them."""

    def __init__(self, operations: QueueOperations) -> None:
        self.operations = operations

    def roles(self, **query: int) -> list[RoleQueue]:
        return self.operations.statistics(QueueQuery(**query)).roles

    def role(self, role: str = "coder", **query: int) -> dict[str, Any]:
        (found,) = (each for each in self.roles(**query) if each.role == role)
        counters = msgspec.structs.asdict(found)
        del counters["role"]
        return counters


def counters(**expected: int | None) -> dict[str, Any]:
    return ZEROS | expected


@pytest.fixture
def queue(db: Database, clock: FrozenClock) -> Queue:
    return Queue(QueueOperations(db, clock))


def test_without_pipelines_there_are_no_roles(queue: Queue, clock: FrozenClock) -> None:
    statistics = queue.operations.statistics(QueueQuery())

    assert (statistics.roles, statistics.generated_at_ms) == ([], clock.now_ms())


# D-52
def test_every_role_is_there_once_and_sorted(queue: Queue, make: Factory) -> None:
    for role in ("zebra", "Émile", "Ant", "ant"):
        for name in "ab":
            make.pipeline(
                {
                    "initial": name,
                    "states": {name: {"agent_role": role}, "done": {"terminal": True}},
                    "transitions": [{"from": name, "to": "done", "trigger": "t"}],
                }
            )

    roles = queue.roles()

    assert [role.role for role in roles] == ["Ant", "ant", "zebra", "Émile"]
    assert queue.role("ant") == ZEROS


def test_claimable_tasks_are_counted_over_all_pipelines(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    clock.advance(ms=400)
    make.task()
    clock.advance(ms=100)

    assert queue.role() == counters(claimable_count=2, oldest_claimable_age_ms=500)


def test_a_clock_that_was_set_back_gives_no_negative_age(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    clock.advance(ms=-1000)

    assert queue.role()["oldest_claimable_age_ms"] == 0


# D-52
def test_a_reserved_task_stays_claimable_and_is_counted_as_assigned(
    queue: Queue, make: Factory
) -> None:
    make.task(assigned_agent_id="a1")
    make.task()

    assert queue.role() == counters(
        claimable_count=2, assigned_count=1, oldest_claimable_age_ms=0
    )


# D-03, D-52
def test_many_blocked_tasks_in_front_hide_nothing(queue: Queue, make: Factory) -> None:
    pipeline_id = make.pipeline()
    free = make.task(pipeline_id)
    for _ in range(25):
        make.task(pipeline_id, priority=10, dependencies=[free])

    assert queue.role() == counters(
        claimable_count=1, blocked_count=25, oldest_claimable_age_ms=0
    )


def test_a_dependency_that_is_resolved_makes_a_task_claimable(
    queue: Queue, make: Factory
) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id, dependencies=[make.finished(pipeline_id)])

    assert queue.role() == counters(claimable_count=1, oldest_claimable_age_ms=0)


def test_a_delayed_task_is_scheduled_until_its_moment_comes(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task(retry_policy={"max_attempts": 3, "retry_delay_ms": 1000})
    make.fail(make.claim())

    assert queue.role() == counters(scheduled_count=1, failed_count=1)
    clock.advance(ms=999)
    assert queue.role() == counters(scheduled_count=1, failed_count=1)
    clock.advance(ms=1)
    # Nobody has claimed since, so nothing has promoted the task yet.
    assert queue.role() == counters(
        claimable_count=1, oldest_claimable_age_ms=1000, failed_count=1
    )


def test_a_lease_goes_from_live_over_near_its_end_to_expired(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    make.claim(lease_ttl_ms=100_000)

    assert queue.role() == counters(leased_count=1)
    clock.advance(ms=40_000 - 1)
    assert queue.role()["near_expiry_leases"] == 0
    clock.advance(ms=1)
    assert queue.role() == counters(leased_count=1, near_expiry_leases=1)
    assert queue.role(near_expiry_ms=59_999)["near_expiry_leases"] == 0
    clock.advance(ms=59_999)
    assert queue.role() == counters(leased_count=1, near_expiry_leases=1)
    clock.advance(ms=1)
    assert queue.role() == counters(leased_count=1, expired_leases=1)


# D-07
def test_a_swept_lease_is_no_longer_counted(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    make.claim(lease_ttl_ms=1)
    clock.advance(ms=300_000)
    assert queue.role() == counters(leased_count=1, expired_leases=1, stuck_count=1)

    make.no_claim(role="nobody")

    assert queue.role() == counters(claimable_count=1, oldest_claimable_age_ms=300_000)


def test_a_run_is_stuck_from_the_millisecond_on(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    make.claim(lease_ttl_ms=1_000_000)

    clock.advance(ms=299_999)
    assert queue.role()["stuck_count"] == 0
    clock.advance(ms=1)
    assert queue.role()["stuck_count"] == 1
    assert queue.role(stuck_ms=300_001)["stuck_count"] == 0


def test_failures_follow_the_task_into_its_next_stage(queue: Queue, make: Factory) -> None:
    make.task(make.pipeline(REVIEWED))
    make.fail(make.claim())
    make.fail(make.claim())
    make.transition(make.claim(), "submit")

    assert queue.role("coder") == ZEROS
    assert queue.role("reviewer") == counters(
        claimable_count=1, oldest_claimable_age_ms=0, failed_count=2
    )


def test_a_task_in_a_stage_without_a_role_counts_for_nobody(
    queue: Queue, make: Factory
) -> None:
    pipeline_id = make.pipeline(REVIEWED)
    make.task(pipeline_id)
    make.transition(make.claim(), "park")

    assert [queue.role(role) for role in ("coder", "reviewer")] == [ZEROS, ZEROS]


def test_a_dead_task_is_counted_as_nothing_else(
    queue: Queue, make: Factory, clock: FrozenClock
) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id, retry_policy={"max_attempts": 1}, assigned_agent_id="a1")
    make.fail(make.claim())
    clock.advance(ms=10**12)

    assert queue.role() == counters(dead_letter_count=1, failed_count=1)


# D-52
def test_every_task_of_a_role_is_counted_as_exactly_one_kind(
    queue: Queue, make: Factory
) -> None:
    pipeline_id = make.pipeline()
    held = make.task(pipeline_id)
    make.claim()
    make.task(pipeline_id, dependencies=[held])
    make.task(pipeline_id, priority=2, retry_policy={"max_attempts": 1})
    make.fail(make.claim())
    make.task(pipeline_id, priority=2, retry_policy={"retry_delay_ms": 9})
    make.fail(make.claim())
    make.task(pipeline_id)
    make.finished(pipeline_id)

    assert queue.role() == counters(
        claimable_count=1,
        oldest_claimable_age_ms=0,
        blocked_count=1,
        scheduled_count=1,
        leased_count=1,
        dead_letter_count=1,
        failed_count=2,
    )


@pytest.mark.parametrize("agent", ["", "a1", "zz"])
def test_the_oldest_task_of_any_agent_has_its_age(
    db: Database, clock: FrozenClock, make: Factory, agent: str
) -> None:
    make.task(assigned_agent_id=agent)
    clock.advance(ms=70)

    (coder,) = QueueOperations(db, clock).statistics(QueueQuery()).roles

    assert (coder.claimable_count, coder.oldest_claimable_age_ms) == (1, 70)
