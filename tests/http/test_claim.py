"""``POST /leases/claim``."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import (
    EPOCH_MS,
    REVIEW,
    SIMPLE,
    Factory,
    Json,
    field_refused,
    task_document,
)

CLAIM = {"agent_id": "a1", "agent_role": "coder"}


@pytest.fixture
def pipeline_id(make: Factory) -> str:
    return make.pipeline()


def test_a_claim_answers_with_task_run_and_lease(
    client: Client, make: Factory, pipeline_id: str
) -> None:
    task_id = make.task(pipeline_id, metadata={"k": [1]})

    response = client.post_json("/leases/claim", CLAIM, status=200)

    assert response.json == {
        "task": task_document(task_id, pipeline_id, metadata={"k": [1]}),
        "run": {
            "id": ANY,
            "task_id": task_id,
            "attempt": 1,
            "status": "running",
            "agent_id": "a1",
            "agent_role": "coder",
            "started_at_ms": EPOCH_MS,
            "ended_at_ms": None,
            "usage": {},
            "error": None,
        },
        "lease_id": ANY,
        "lease_token": ANY,
        "expires_at_ms": EPOCH_MS + 300_000,
    }
    assert len(response.json["lease_token"]) == 64
    int(response.json["lease_token"], 16)


@pytest.mark.parametrize("role", ["reviewer", "unknown", "", "Coder"])
def test_a_claim_that_finds_nothing_is_empty(
    client: Client, make: Factory, pipeline_id: str, role: str
) -> None:
    make.task(pipeline_id)

    response = client.post_json("/leases/claim", {**CLAIM, "agent_role": role}, status=204)

    assert response.body == b""
    assert "Retry-After" not in response.headers


def test_the_highest_priority_goes_first_then_the_oldest(
    make: Factory, clock: FrozenClock, pipeline_id: str
) -> None:
    old_low = make.task(pipeline_id, priority=-1)
    old = make.task(pipeline_id)
    # D-59: within one millisecond the order of creation decides
    same_ms = make.task(pipeline_id)
    clock.advance(ms=1)
    high = make.task(pipeline_id, priority=5)
    young = make.task(pipeline_id)

    claimed = [make.claim()["task"]["id"] for _ in range(5)]

    assert claimed == [high, old, same_ms, young, old_low]


# D-54: at equal priority one's own tasks go first
def test_tasks_assigned_to_the_caller_are_preferred_at_equal_priority(
    make: Factory, pipeline_id: str
) -> None:
    free = make.task(pipeline_id)
    mine = make.task(pipeline_id, assigned_agent_id="a1")
    higher = make.task(pipeline_id, priority=1)

    assert [make.claim()["task"]["id"] for _ in range(3)] == [higher, mine, free]


# D-03: whatever stands in front, a free task is found
def test_blocked_and_foreign_tasks_hide_nothing(
    client: Client, make: Factory, pipeline_id: str
) -> None:
    free = make.task(pipeline_id)
    for _ in range(25):
        make.task(pipeline_id, priority=10, dependencies=[free])
        make.task(pipeline_id, priority=10, assigned_agent_id="somebody else")

    assert make.claim()["task"]["id"] == free
    make.no_claim()


# D-61: roles are matched for each pipeline, not by stage name
def test_a_stage_of_the_same_name_in_another_pipeline_has_its_own_role(
    make: Factory,
) -> None:
    other = {**SIMPLE, "states": {**SIMPLE["states"], "todo": {"agent_role": "reviewer"}}}
    mine, foreign = make.task(make.pipeline(SIMPLE)), make.task(make.pipeline(other))

    assert make.claim("coder")["task"]["id"] == mine
    make.no_claim("coder")
    assert make.claim("reviewer")["task"]["id"] == foreign


def test_an_agent_may_hold_any_number_of_leases(make: Factory, pipeline_id: str) -> None:
    for _ in range(3):
        make.task(pipeline_id)

    assert len({make.claim()["lease_id"] for _ in range(3)}) == 3


def test_a_terminal_stage_without_a_role_is_never_claimed(
    make: Factory, pipeline_id: str
) -> None:
    make.finished(pipeline_id)

    make.no_claim()


@pytest.mark.parametrize("ttl_ms", [1, 86_400_000])
def test_the_bounds_of_a_ttl_are_allowed(make: Factory, ttl_ms: int) -> None:
    make.task()

    assert make.claim(lease_ttl_ms=ttl_ms)["expires_at_ms"] == EPOCH_MS + ttl_ms


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"agent_id": None}, "agent_id"),
        ({"agent_role": None}, "agent_role"),
        ({"agent_id": 5}, "agent_id"),
        ({"agent_role": "r" * 513}, "agent_role"),
        ({"agent_role": "é" * 257}, "agent_role"),
        # D-11: bounds
        ({"lease_ttl_ms": 0}, "lease_ttl_ms"),
        ({"lease_ttl_ms": -1}, "lease_ttl_ms"),
        ({"lease_ttl_ms": 86_400_001}, "lease_ttl_ms"),
        ({"lease_ttl_ms": 2**63 - 1}, "lease_ttl_ms"),
        ({"lease_ttl_ms": "300"}, "lease_ttl_ms"),
        ({"wait_ms": -1}, "wait_ms"),
        ({"wait_ms": 60_001}, "wait_ms"),
        ({"max_tasks": 0}, "max_tasks"),
        ({"max_tasks": 101}, "max_tasks"),
        # D-63: limits are positive integers
        ({"concurrency": 5}, "concurrency"),
        ({"concurrency": {"per_state": []}}, "concurrency.per_state"),
        ({"concurrency": {"per_state": {"todo": 0}}}, "concurrency.per_state[...]"),
        ({"concurrency": {"per_state": {"todo": -1}}}, "concurrency.per_state[...]"),
        ({"concurrency": {"per_state": {"todo": "1"}}}, "concurrency.per_state[...]"),
        ({"concurrency": {"per_state": {"todo": 1e300}}}, "concurrency.per_state[...]"),
    ],
)
def test_a_claim_of_a_wrong_shape_names_the_field(
    client: Client, make: Factory, changed: Json, field: str
) -> None:
    make.task()

    response = client.post_json("/leases/claim", {**CLAIM, **changed}, status=400)

    assert response.json == field_refused(field)


@pytest.mark.parametrize("field", ["agent_id", "agent_role"])
def test_agent_and_role_are_required(client: Client, field: str) -> None:
    body = {name: value for name, value in CLAIM.items() if name != field}

    response = client.post_json("/leases/claim", body, status=400)

    assert response.json == field_refused(field, "is required")


class TestMaxTasks:
    def test_many_tasks_are_claimed_at_once_best_first(
        self, client: Client, make: Factory, pipeline_id: str
    ) -> None:
        ids = [make.task(pipeline_id, priority=priority) for priority in (1, 3, 2, 0)]

        response = client.post_json("/leases/claim", {**CLAIM, "max_tasks": 3}, status=200)

        assert list(response.json) == ["claims"]
        claims = response.json["claims"]
        assert [c["task"]["id"] for c in claims] == [ids[1], ids[2], ids[0]]
        assert all(
            list(c) == ["task", "run", "lease_id", "lease_token", "expires_at_ms"]
            for c in claims
        )
        assert len({c["lease_token"] for c in claims}) == 3

    def test_one_task_of_many_is_still_a_list(self, make: Factory, pipeline_id: str) -> None:
        make.task(pipeline_id)

        assert len(make.claim(max_tasks=100)["claims"]) == 1

    def test_none_of_many_is_empty(self, make: Factory) -> None:
        assert make.no_claim(max_tasks=100).body == b""

    def test_many_tasks_stay_within_the_limit_of_a_stage(
        self, make: Factory, pipeline_id: str
    ) -> None:
        for _ in range(5):
            make.task(pipeline_id)

        limits = {"per_state": {"todo": 2}}
        assert len(make.claim(max_tasks=5, concurrency=limits)["claims"]) == 2


# D-63: limits hold for stages of one name, whoever holds the tasks
class TestPerState:
    def test_the_last_place_is_given_and_the_next_refused(
        self, make: Factory, pipeline_id: str
    ) -> None:
        for _ in range(3):
            make.task(pipeline_id)
        limits = {"per_state": {"todo": 2}}

        make.claim(agent="a1")
        make.claim(agent="a2", concurrency=limits)

        make.no_claim(agent="a3", concurrency=limits)
        make.claim(agent="a3", concurrency={"per_state": {"todo": None}})

    def test_a_lease_that_is_over_takes_no_place(
        self, make: Factory, clock: FrozenClock, pipeline_id: str
    ) -> None:
        make.task(pipeline_id)
        make.task(pipeline_id)
        limits = {"per_state": {"todo": 1}}
        make.claim(lease_ttl_ms=100, concurrency=limits)

        clock.advance(ms=99)
        make.no_claim(concurrency=limits)
        clock.advance(ms=1)
        make.claim(concurrency=limits)

    def test_other_stages_of_the_role_are_tried(self, make: Factory) -> None:
        both = {
            **REVIEW,
            "states": {**REVIEW["states"], "review": {"agent_role": "coder"}},
        }
        pipeline_id = make.pipeline(both)
        in_review = make.task(pipeline_id)
        make.transition(make.claim(), "submit")
        make.task(pipeline_id, priority=5)
        make.task(pipeline_id, priority=5)
        make.claim()

        claim = make.claim(concurrency={"per_state": {"coding": 1}})

        assert claim["task"]["id"] == in_review

    @pytest.mark.parametrize("concurrency", [None, {}, {"per_state": None}, {"per_state": {}}])
    def test_nothing_said_is_no_limit(
        self, make: Factory, pipeline_id: str, concurrency: Any
    ) -> None:
        make.task(pipeline_id)
        make.task(pipeline_id)

        make.claim(concurrency=concurrency)
        make.claim(concurrency=concurrency)

    def test_an_integral_float_is_a_limit(self, make: Factory, pipeline_id: str) -> None:
        make.task(pipeline_id)
        make.task(pipeline_id)
        limits = {"per_state": {"todo": 1.0}}

        make.claim(concurrency=limits)

        make.no_claim(concurrency=limits)


class TestRetryAfter:
    def test_an_empty_claim_tells_when_a_delay_is_over(
        self, make: Factory, pipeline_id: str
    ) -> None:
        make.task(pipeline_id, retry_policy={"retry_delay_ms": 1_500})
        make.fail(make.claim())

        assert make.no_claim().headers["Retry-After"] == "2"

    def test_an_empty_claim_tells_when_a_lease_could_end(
        self, make: Factory, clock: FrozenClock, pipeline_id: str
    ) -> None:
        make.task(pipeline_id)
        make.claim(lease_ttl_ms=10_000)
        clock.advance(ms=9_999)

        assert make.no_claim().headers["Retry-After"] == "1"

    def test_a_moment_that_helps_somebody_else_is_not_told(
        self, make: Factory, pipeline_id: str
    ) -> None:
        make.task(pipeline_id, assigned_agent_id="a2", retry_policy={"retry_delay_ms": 1_000})
        make.fail(make.claim(agent="a2"))

        assert "Retry-After" not in make.no_claim(agent="a1").headers
        assert make.no_claim(agent="a2").headers["Retry-After"] == "1"
