"""Cancel and requeue."""

from __future__ import annotations

import pytest

from tests.conftest import FrozenClock
from tests.factories import REVIEW
from tests.worlds import World, refusal
from tickets.tracker.domain.documents import RetryPolicyDocument


@pytest.fixture
def pipeline_id(world: World) -> str:
    return world.pipeline()


# D-55: a task can be cancelled, and its agent is told
def test_a_cancel_ends_the_run_and_takes_its_lease(world: World, pipeline_id: str) -> None:
    task_id = world.task(pipeline_id)
    claim = world.claim()

    world.do.dead_letters.cancel(task_id, reason="stop")

    for act in (world.heartbeat, world.transition, world.fail, world.release, world.event):
        assert refusal(act, claim) == "expired"
    (run,) = world.runs(task_id)
    assert (run.status, run.error) == ("cancelled", "stop")
    world.check()


def test_a_cancelled_task_never_comes_back_by_itself(
    world: World, clock: FrozenClock, pipeline_id: str
) -> None:
    task_id = world.task(pipeline_id, retry=RetryPolicyDocument(retry_delay_ms=100))
    world.fail(world.claim())
    world.do.dead_letters.cancel(task_id, reason=None)

    clock.advance(ms=10**10)
    world.advance()

    assert world.claims() == []
    world.check()


def test_a_cancelled_dependency_blocks(world: World, pipeline_id: str) -> None:
    first = world.task(pipeline_id)
    world.task(pipeline_id, dependencies=[first])

    world.do.dead_letters.cancel(first, reason=None)

    assert world.claims() == []


def test_a_cancel_frees_the_place_in_its_stage(world: World, pipeline_id: str) -> None:
    held, _ = world.tasks(pipeline_id, 2)
    world.claim()
    assert world.claims(per_state={"todo": 1}) == []

    world.do.dead_letters.cancel(held, reason=None)

    world.claim(per_state={"todo": 1})


def test_a_run_that_died_before_the_cancel_is_charged_first(
    world: World, clock: FrozenClock, pipeline_id: str
) -> None:
    policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="done")
    task_id = world.task(pipeline_id, retry=policy)
    claim = world.claim(lease_ttl_ms=100)
    world.event(claim)
    clock.advance(ms=100)

    # by its expiry the task is at an end already, where there is nothing to cancel
    assert refusal(world.do.dead_letters.cancel, task_id, reason=None) == "task_terminal"
    world.advance()
    assert world.row(task_id)["dead_letter_reason"] == "max_attempts_exceeded"
    world.check()


# D-09: the dead letter has a way out, with a new budget
def test_a_requeued_task_has_a_new_failure_budget(world: World, pipeline_id: str) -> None:
    task_id = world.task(pipeline_id, retry=RetryPolicyDocument(max_attempts=2))
    for _ in range(2):
        world.fail(world.claim())
    assert world.claims() == []

    world.do.dead_letters.requeue(task_id, stage=None)

    world.fail(world.claim())
    assert world.claim().run.attempt == 4
    world.check()


def test_a_requeue_counts_a_version_only_where_the_stage_changes(world: World) -> None:
    task_id = world.task(world.pipeline(REVIEW))

    for stage, version in ((None, 1), ("coding", 1), ("review", 2), (None, 2), ("done", 3)):
        world.do.dead_letters.cancel(task_id, reason=None)
        world.do.dead_letters.requeue(task_id, stage=stage)
        assert world.row(task_id)["task_version"] == version
        world.check()


def test_a_task_that_is_alive_cannot_be_requeued(world: World, pipeline_id: str) -> None:
    task_id = world.task(pipeline_id)

    refused = refusal(world.do.dead_letters.requeue, task_id, stage=None)

    assert refused == "not_dead_lettered"
