"""Edges: what they block, when they let go, and what they must not become."""

from __future__ import annotations

import pytest

from tests.conftest import FrozenClock
from tests.factories import SIMPLE
from tests.worlds import World, refusal
from tickets.tracker.domain.documents import RetryPolicyDocument
from tickets.tracker.operations.readiness import RELEASE_STEP_ROWS

# A terminal stage that an agent can open again.
REOPENABLE = {
    **SIMPLE,
    "states": {
        "todo": {"agent_role": "coder"},
        "done": {"terminal": True, "agent_role": "auditor"},
    },
    "transitions": [
        *SIMPLE["transitions"],
        {"from": "done", "to": "todo", "trigger": "reopen"},
    ],
}


@pytest.fixture
def pipeline_id(world: World) -> str:
    return world.pipeline()


def open_count(world: World, task_id: str) -> int:
    return int(world.row(task_id)["open_dependency_count"])


class TestCycles:
    # D-05: checked in the transaction that writes
    def test_no_order_of_edges_closes_a_circle(self, world: World, pipeline_id: str) -> None:
        a, b, c, d = world.tasks(pipeline_id, 4)
        for task_id, on in ((a, b), (b, c), (a, c), (c, d)):
            world.depend(task_id, on)

        for task_id, on in ((b, a), (c, a), (d, a), (c, b), (d, b), (d, c)):
            assert refusal(world.depend, task_id, on) == "dependency_cycle"
        world.check()

    def test_a_circle_that_was_opened_can_be_closed_the_other_way(
        self, world: World, pipeline_id: str
    ) -> None:
        a, b = world.tasks(pipeline_id, 2)
        world.depend(a, b)
        world.do.dependencies.remove(a, b)

        world.depend(b, a)

        world.check()

    def test_a_diamond_is_no_circle(self, world: World, pipeline_id: str) -> None:
        top, left, right, bottom = world.tasks(pipeline_id, 4)
        for task_id, on in ((top, left), (top, right), (left, bottom), (right, bottom)):
            world.depend(task_id, on)

        assert open_count(world, top) == 2


class TestResolution:
    def test_all_dependencies_must_be_resolved(self, world: World, pipeline_id: str) -> None:
        first, second = world.tasks(pipeline_id, 2)
        blocked = world.task(pipeline_id, dependencies=[first, second], priority=9)

        world.transition(world.claim())
        assert world.claim().task.id == second
        world.do.dead_letters.cancel(second, reason=None)
        assert world.claims() == []
        world.do.dead_letters.requeue(second, stage="done")

        assert world.claim().task.id == blocked
        world.check()

    def test_an_edge_to_a_finished_task_blocks_nothing(
        self, world: World, pipeline_id: str
    ) -> None:
        done = world.finish(pipeline_id)

        task_id = world.task(pipeline_id, dependencies=[done])
        later = world.task(pipeline_id)
        world.depend(later, done)

        assert open_count(world, task_id) == open_count(world, later) == 0
        world.check()

    def test_a_run_that_holds_the_task_goes_on_undisturbed(
        self, world: World, pipeline_id: str
    ) -> None:
        task_id = world.task(pipeline_id)
        claim = world.claim()
        world.depend(task_id, world.task(pipeline_id))

        world.heartbeat(claim)
        world.transition(claim)
        world.check()

    # D-08: dead in a terminal stage is not resolved, until it is requeued there
    def test_a_dead_task_in_a_terminal_stage_blocks_until_it_is_revived_there(
        self, world: World, pipeline_id: str
    ) -> None:
        policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="done")
        first = world.task(pipeline_id, retry=policy)
        blocked = world.task(pipeline_id, dependencies=[first])
        world.fail(world.claim())

        assert world.claims() == []
        world.do.dead_letters.requeue(first, stage="done")

        assert world.claim().task.id == blocked
        world.check()

    def test_a_reopened_task_blocks_again_and_frees_again(self, world: World) -> None:
        pipeline_id = world.pipeline(REOPENABLE)
        first = world.task(pipeline_id)
        world.transition(world.claim())
        blocked = world.task(pipeline_id, dependencies=[first])
        assert open_count(world, blocked) == 0

        world.transition(world.claim("auditor"), "reopen")
        assert open_count(world, blocked) == 1
        world.check()
        assert world.claim().task.id == first
        assert world.claims() == []


class TestRemoval:
    def test_a_removed_edge_is_no_longer_counted(self, world: World, pipeline_id: str) -> None:
        first, second = world.tasks(pipeline_id, 2)
        blocked = world.task(pipeline_id, dependencies=[first, second])

        world.do.dependencies.remove(blocked, first)

        assert open_count(world, blocked) == 1
        world.check()

    def test_a_removed_edge_to_a_finished_task_was_not_counted(
        self, world: World, pipeline_id: str
    ) -> None:
        done, other = world.finish(pipeline_id), world.task(pipeline_id)
        blocked = world.task(pipeline_id, dependencies=[done, other])

        world.do.dependencies.remove(blocked, done)

        assert open_count(world, blocked) == 1
        world.check()


class TestManyDependents:
    """More dependents than one transaction frees."""

    COUNT = RELEASE_STEP_ROWS * 2 + 1

    @pytest.fixture
    def first(self, world: World, clock: FrozenClock) -> str:
        pipeline_id = world.pipeline(REOPENABLE)
        first = world.task(pipeline_id)
        self.blocked = world.tasks(pipeline_id, self.COUNT, dependencies=[first])
        world.transition(world.claim())
        return first

    def freed(self, world: World) -> int:
        sql = "SELECT COUNT(*) FROM tasks WHERE stage = 'todo' AND open_dependency_count = 0"
        return int(world.query(sql)[0][0])

    def test_they_are_freed_step_by_step_until_all_are(self, world: World, first: str) -> None:
        assert self.freed(world) == RELEASE_STEP_ROWS
        world.check()

        world.advance()

        assert self.freed(world) == self.COUNT
        assert world.query("SELECT COUNT(*) FROM dependency_releases") == [(0,)]
        world.check()

    def test_claims_alone_free_them_too(self, world: World, first: str) -> None:
        claimed = 0
        while claims := world.claims(max_tasks=100):
            claimed += len(claims)

        assert claimed == self.COUNT

    def test_a_task_that_is_reopened_meanwhile_blocks_all_of_them(
        self, world: World, first: str
    ) -> None:
        world.transition(world.claim("auditor"), "reopen")

        assert self.freed(world) == 1  # the reopened task itself
        world.check()
        world.advance()
        world.check()

    def test_edges_that_come_and_go_meanwhile_are_counted_right(
        self, world: World, first: str
    ) -> None:
        last = self.blocked[-1]
        world.do.dependencies.remove(last, first)
        assert open_count(world, last) == 0
        world.check()

        # the new edge gets the number of the one that went, inside the range to be freed
        world.depend(last, first)
        world.check()
        world.advance()

        assert open_count(world, last) == 0
        world.check()
