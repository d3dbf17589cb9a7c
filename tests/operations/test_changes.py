"""The feed: every fact has one row, and a consumer misses none and sees none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.conftest import FrozenClock
from tests.worlds import World, refusal
from tickets.tracker.domain.documents import (
    ChangesQuery,
    RetryPolicyDocument,
    TaskChanges,
)


def kinds(world: World) -> list[str]:
    return [change.kind for change in world.changes()]


def new_kinds(world: World, act: Callable[[], object]) -> list[str]:
    before = len(world.changes())
    act()
    return kinds(world)[before:]


# D-66: every fact leaves a trace
def test_every_fact_has_exactly_one_row(world: World, clock: FrozenClock) -> None:
    def told(act: Callable[..., object], *args: Any, **kwargs: Any) -> list[str]:
        return new_kinds(world, lambda: act(*args, **kwargs))

    do = world.do
    assert told(world.pipeline) == ["pipeline.created"]
    pipeline_id = world.pipeline()
    assert told(world.task, pipeline_id) == ["task.created"]
    assert told(world.tasks, pipeline_id, 3) == ["task.created"] * 3
    a, b, c, d = (row[0] for row in world.query("SELECT id FROM tasks ORDER BY seq"))

    assert told(do.tasks.change, a, TaskChanges(title="x")) == ["task.changed"]
    assert told(world.assign, a, "a1") == ["task.assigned"]
    assert told(do.assignments.unassign, a, "a1") == ["task.unassigned"]
    assert told(world.depend, d, c) == ["task.dependency_added"]
    assert told(do.dependencies.remove, d, c) == ["task.dependency_removed"]

    assert told(world.claims, max_tasks=2) == ["task.claimed"] * 2
    do.dead_letters.cancel(a, reason=None)
    do.dead_letters.cancel(b, reason=None)
    claim = world.claim()
    assert told(world.heartbeat, claim) == []
    assert told(world.event, claim) == ["run.event"]
    assert told(world.gate, claim) == ["run.gate"]
    assert told(world.artifact, claim) == ["artifact.created"]
    assert told(world.transition, claim) == ["run.transitioned"]

    assert told(world.release, world.claim()) == ["run.released"]
    assert told(world.fail, world.claim()) == ["run.failed"]
    world.claim(lease_ttl_ms=1)
    clock.advance(ms=1)
    assert told(world.advance) == ["lease.expired"]
    assert told(do.dead_letters.cancel, d, reason=None) == ["task.cancelled"]
    assert told(do.dead_letters.cancel, d, reason=None) == []
    assert told(do.dead_letters.requeue, d, stage=None) == ["task.requeued"]

    policy = RetryPolicyDocument(max_attempts=1)
    do.tasks.change(d, TaskChanges(retry_policy=policy))
    assert told(world.fail, world.claim()) == ["run.failed", "task.dead_lettered"]


def test_a_refusal_leaves_no_row(world: World) -> None:
    pipeline_id = world.pipeline()
    task_id = world.task(pipeline_id)
    claim = world.claim()

    def refused() -> None:
        assert refusal(world.transition, claim, "nope") == "invalid_transition"
        assert refusal(world.event, claim, "transition") == "reserved_event_kind"
        assert refusal(world.depend, task_id, task_id) == "invalid_dependency"
        assert refusal(world.assign, "nope", "a") == "task_not_found"

    assert new_kinds(world, refused) == []


def test_a_row_names_its_task_run_and_data(world: World) -> None:
    task_id = world.task(world.pipeline())
    claim = world.claim(agent="a9")
    world.transition(claim)

    claimed, moved = world.changes()[-2:]

    assert (claimed.task_id, claimed.run_id) == (task_id, claim.run.id)
    assert msgspec.json.decode(claimed.data) == {
        "agent_id": "a9",
        "agent_role": "coder",
        "attempt": 1,
    }
    assert (moved.task_id, moved.run_id) == (task_id, claim.run.id)
    assert msgspec.json.decode(moved.data) == {
        "trigger": "complete",
        "from": "todo",
        "to": "done",
    }


@pytest.mark.parametrize("kind", [None, "task.claimed"])
@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_a_consumer_that_reads_along_misses_nothing_and_sees_nothing_twice(
    world: World, kind: str | None, limit: int
) -> None:
    pipeline_id = world.pipeline()
    seen: list[int] = []
    cursor = None

    def read_on() -> bool:
        nonlocal cursor
        query = ChangesQuery(after=cursor, kind=kind, limit=limit)
        part = world.do.changes.list_after(query)
        cursor = part.next_cursor
        seen.extend(change.id for change in part.items)
        return bool(part.items)

    for _ in range(5):
        world.task(pipeline_id)
        read_on()
        world.release(world.claim())
        read_on()
    while read_on():
        pass

    wanted = [each.id for each in world.changes() if kind in (None, each.kind)]
    assert seen == wanted
    assert Counter(seen).most_common(1)[0][1] == 1


def test_ids_ascend_without_a_gap(world: World) -> None:
    pipeline_id = world.pipeline()
    refusal(world.task, "nope")
    world.task(pipeline_id)

    assert [change.id for change in world.changes()] == [1, 2]
