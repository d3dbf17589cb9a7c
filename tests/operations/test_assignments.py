"""Assignments: one active for a task, the others are history."""

from __future__ import annotations

import pytest

from tests.conftest import FrozenClock
from tests.factories import EPOCH_MS
from tests.worlds import World, refusal
from tickets.tracker.domain.documents import ArrayQuery
from tickets.tracker.domain.records import Assignment


@pytest.fixture
def task_id(world: World) -> str:
    return world.task(world.pipeline())


def history(world: World, task_id: str) -> list[Assignment]:
    return world.do.assignments.list_oldest_first(task_id, ArrayQuery(), reader=None)[0]


# D-58: one transaction, and an index that allows one active row
def test_a_task_changes_hands_in_one_step(
    world: World, clock: FrozenClock, task_id: str
) -> None:
    for agent in ("a1", "a2", "a1"):
        world.assign(task_id, agent)
        world.check()
        clock.advance(ms=1)

    rows = [(row.agent_id, row.active, row.created_at_ms) for row in history(world, task_id)]
    assert rows == [("a1", True, EPOCH_MS), ("a2", False, EPOCH_MS + 1)]


def test_only_the_assignee_claims(world: World, task_id: str) -> None:
    world.assign(task_id, "a2")

    assert world.claims(agent="a1") == []
    assert world.claim(agent="a2").task.id == task_id


def test_an_unassigned_task_is_for_everybody(world: World, task_id: str) -> None:
    world.assign(task_id, "a2")

    world.do.assignments.unassign(task_id, "a2")

    world.check()
    assert world.claim(agent="a1").task.id == task_id


def test_only_the_active_assignment_can_be_ended(world: World, task_id: str) -> None:
    world.assign(task_id, "a1")
    world.assign(task_id, "a2")

    assert refusal(world.do.assignments.unassign, task_id, "a1") == "not_found"
    assert refusal(world.do.assignments.unassign, "nope", "a2") == "not_found"
    world.check()


def test_a_task_that_does_not_exist_cannot_be_assigned(world: World) -> None:
    assert refusal(world.assign, "nope", "a1") == "task_not_found"
    assert world.query("SELECT COUNT(*) FROM task_assignments") == [(0,)]
