"""Claims, heartbeats, expiry and release."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import FrozenClock
from tests.factories import EPOCH_MS, NEVER_MS, REVIEW, SIMPLE
from tests.worlds import World, refusal
from tickets.tracker.domain.documents import (
    BackoffDocument,
    ClaimRequest,
    RetryPolicyDocument,
    TaskChanges,
)
from tickets.tracker.domain.records import Claim
from tickets.tracker.operations import readiness

TTL_MS = 1_000
CODER = ClaimRequest(agent_id="a1", agent_role="coder")


def retry(**fields: int) -> RetryPolicyDocument:
    return RetryPolicyDocument(**fields)  # type: ignore[arg-type]  # only numbers here


@pytest.fixture
def pipeline_id(world: World) -> str:
    return world.pipeline()


class TestOrder:
    def test_priority_then_own_assignment_then_age_then_creation(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        low = world.task(pipeline_id, priority=-(2**63))
        first, second = world.task(pipeline_id), world.task(pipeline_id)
        clock.advance(ms=1)
        mine = world.task(pipeline_id, assigned_agent_id="a1")
        high = world.task(pipeline_id, priority=2**63 - 1)
        clock.advance(ms=-5)
        # created last, but by the clock the oldest
        oldest = world.task(pipeline_id)

        claims = world.claims(max_tasks=100)

        order = [high, mine, oldest, first, second, low]
        assert [claim.task.id for claim in claims] == order
        world.check()

    def test_a_retried_task_keeps_its_age(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        old = world.task(pipeline_id)
        clock.advance(ms=1)
        world.task(pipeline_id)
        world.fail(world.claim())

        assert world.claim().task.id == old

    def test_one_claim_of_many_equals_many_claims_of_one(
        self, world: World, pipeline_id: str
    ) -> None:
        for priority in (3, 1, 2, 3):
            world.task(pipeline_id, priority=priority)

        at_once = [claim.task.id for claim in world.claims(max_tasks=4)]
        for task_id in at_once:
            world.do.dead_letters.cancel(task_id, reason=None)
            world.do.dead_letters.requeue(task_id, stage=None)
        one_by_one = [world.claim().task.id for _ in range(4)]

        assert one_by_one == at_once


class TestLimits:
    def test_a_limit_counts_holders_in_all_pipelines_by_stage_name(self, world: World) -> None:
        other = {**SIMPLE, "states": {**SIMPLE["states"], "todo": {"agent_role": "other"}}}
        world.task(world.pipeline(other))
        world.claim("other")
        world.task(world.pipeline())

        assert world.claims(per_state={"todo": 1}) == []
        assert len(world.claims(per_state={"todo": 2})) == 1

    def test_the_best_of_the_stages_with_room_is_taken(self, world: World) -> None:
        both = {**REVIEW, "states": {**REVIEW["states"], "review": {"agent_role": "coder"}}}
        pipeline_id = world.pipeline(both)
        in_review = world.task(pipeline_id, priority=1)
        world.transition(world.claim(), "submit")
        coding = world.task(pipeline_id, priority=9)

        assert world.claim(per_state={"coding": 1, "review": 1}).task.id == coding
        assert world.claim(per_state={"coding": 1, "review": 1}).task.id == in_review


class TestExpiry:
    @pytest.fixture
    def dies(self, world: World, clock: FrozenClock) -> Callable[..., Claim]:
        """Return a function that claims a task, does something and lets the lease run out."""

        def die(*signs: Callable[[Claim], object]) -> Claim:
            claim = world.claim(lease_ttl_ms=TTL_MS)
            for sign in signs:
                sign(claim)
            ((end_ms,),) = world.query(
                "SELECT expires_at_ms FROM leases WHERE id = ?", claim.lease_id
            )
            clock.advance(ms=end_ms - clock.now_ms())
            return claim

        return die

    # D-06: an expiry leaves an event and waits the delay, counted from the expiry
    def test_an_expired_run_is_stale_and_its_task_waits(
        self, world: World, clock: FrozenClock, pipeline_id: str, dies: Callable[..., Claim]
    ) -> None:
        task_id = world.task(pipeline_id, retry=retry(retry_delay_ms=500))
        claim = dies()
        clock.advance(ms=499)

        assert world.claims() == []
        (run,) = world.runs(task_id)
        assert (run.status, run.ended_at_ms) == ("stale", EPOCH_MS + TTL_MS)
        (event,) = world.events(task_id)
        assert (event.kind, event.run_id) == ("lease_expired", claim.run.id)
        assert bytes(event.data) == (
            b'{"reason":"lease_expired","failed_attempts":0,"retry_delay_ms":500,'
            b'"next_eligible_at_ms":1700000001500,"counted":false}'
        )
        clock.advance(ms=1)
        assert world.claim().run.attempt == 2
        world.check()

    # D-06: a claim that nobody touched is free, however often
    def test_an_untouched_claim_is_not_charged(
        self, world: World, pipeline_id: str, dies: Callable[..., Claim]
    ) -> None:
        task_id = world.task(pipeline_id, retry=retry(max_attempts=1))

        for _ in range(5):
            dies()

        assert world.claim().run.attempt == 6
        assert world.row(task_id)["failed_attempts"] == 0

    # D-06: a run that showed life is charged
    @pytest.mark.parametrize("sign", ["event", "gate", "artifact", "heartbeat"])
    def test_a_run_that_showed_life_is_charged(
        self, world: World, pipeline_id: str, dies: Callable[..., Claim], sign: str
    ) -> None:
        task_id = world.task(pipeline_id, retry=retry(max_attempts=2))

        for failed in (1, 2):
            dies(getattr(world, sign))
            world.advance()
            assert world.row(task_id)["failed_attempts"] == failed

        assert world.claims() == []
        row = world.row(task_id)
        assert row["dead_letter_reason"] == "max_attempts_exceeded"
        kinds = [e.kind for e in world.events(task_id) if e.kind != "step"]
        assert kinds == ["lease_expired", "lease_expired", "dead_letter"]
        world.check()

    def test_an_untouched_claim_waits_also_where_the_limit_was_lowered_meanwhile(
        self, world: World, pipeline_id: str, dies: Callable[..., Claim]
    ) -> None:
        task_id = world.task(pipeline_id, retry=retry(max_attempts=9))
        world.fail(world.claim())
        policy = RetryPolicyDocument(max_attempts=1, retry_delay_ms=500)
        world.do.tasks.change(task_id, TaskChanges(retry_policy=policy))
        dies()

        assert world.claims() == []
        row = world.row(task_id)
        assert (row["is_dead"], row["is_delayed"]) == (0, 1)

    # D-07: 410 stays 410, whoever came after
    def test_a_lease_that_is_over_is_never_revived(
        self, world: World, pipeline_id: str, dies: Callable[..., Claim]
    ) -> None:
        world.task(pipeline_id)
        late = dies()

        for _ in range(2):
            for act in (world.heartbeat, world.event, world.gate, world.transition, world.fail):
                assert refusal(act, late) == "expired"
            world.advance()
        world.claim(agent="a2")
        assert refusal(world.release, late) == "expired"
        world.check()

    def test_a_sweep_goes_in_bounded_steps_and_a_claim_waits_for_no_more_than_it_needs(
        self,
        world: World,
        clock: FrozenClock,
        pipeline_id: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(readiness, "STEP_ROWS", 3)
        world.tasks(pipeline_id, 10)
        world.claims(max_tasks=10, lease_ttl_ms=TTL_MS)
        clock.advance(ms=TTL_MS)

        world.claim()

        stale = "SELECT COUNT(*) FROM runs WHERE status = 'stale'"
        assert world.query(stale) == [(3,)]
        world.advance()
        assert world.query(stale) == [(10,)]
        world.check()

    def test_a_claim_sweeps_on_until_it_finds_something(
        self,
        world: World,
        clock: FrozenClock,
        pipeline_id: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(readiness, "STEP_ROWS", 3)
        other = world.pipeline(
            {**SIMPLE, "states": {**SIMPLE["states"], "todo": {"agent_role": "other"}}}
        )
        world.tasks(other, 10)
        world.claims("other", max_tasks=10, lease_ttl_ms=TTL_MS - 1)
        mine = world.task(pipeline_id)
        world.claim(lease_ttl_ms=TTL_MS)
        clock.advance(ms=TTL_MS)

        assert world.claim().task.id == mine

    def test_a_clock_that_is_set_back_does_not_hide_a_task(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        world.task(pipeline_id, retry=retry(retry_delay_ms=100))
        world.fail(world.claim())
        clock.advance(ms=100)
        world.advance()
        clock.advance(ms=-50)

        world.claim()


class TestBackoff:
    @pytest.mark.parametrize(
        ("jitter_point", "delays"), [(0.0, [50, 100, 150]), (0.5, [100, 200, 225])]
    )
    def test_delays_grow_up_to_their_maximum_and_jitter_spreads_them(
        self, db: object, clock: FrozenClock, jitter_point: float, delays: list[int]
    ) -> None:
        world = World(db, clock, random_unit=jitter_point)  # type: ignore[arg-type]  # the fixture
        policy = RetryPolicyDocument(
            retry_delay_ms=100,
            backoff=BackoffDocument(factor=2, max_delay_ms=300, jitter=0.5),
        )
        task_id = world.task(world.pipeline(), retry=policy)

        waited = []
        for _ in delays:
            world.fail(world.claim())
            waited.append(world.row(task_id)["next_eligible_at_ms"] - clock.now_ms())
            clock.advance(ms=waited[-1])

        assert waited == delays


class TestDeadLetter:
    def test_in_place_the_stage_and_version_stay(self, world: World, pipeline_id: str) -> None:
        task_id = world.task(pipeline_id, retry=retry(max_attempts=1))

        world.fail(world.claim())

        row = world.row(task_id)
        assert (row["stage"], row["task_version"], row["is_dead"]) == ("todo", 1, 1)
        assert row["next_eligible_at_ms"] == NEVER_MS
        assert world.claims() == []
        world.check()

    def test_in_a_terminal_stage_it_is_moved_and_stays_dead(
        self, world: World, pipeline_id: str
    ) -> None:
        policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="done")
        task_id = world.task(pipeline_id, retry=policy)

        world.fail(world.claim())

        row = world.row(task_id)
        assert (row["stage"], row["task_version"], row["is_dead"]) == ("done", 2, 1)
        world.check()

    # D-09: a triage stage with a role is claimable, and leads back
    def test_in_a_triage_stage_its_role_can_claim_it(self, world: World) -> None:
        definition = {
            "initial": "todo",
            "states": {
                "todo": {"agent_role": "coder"},
                "triage": {"agent_role": "medic"},
                "done": {"terminal": True},
            },
            "transitions": [
                {"from": "todo", "to": "done", "trigger": "complete"},
                {"from": "triage", "to": "todo", "trigger": "again"},
            ],
        }
        policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="triage")
        task_id = world.task(world.pipeline(definition), retry=policy)
        world.fail(world.claim())

        assert world.row(task_id)["dead_letter_reason"] == "max_attempts_exceeded"
        assert world.claims() == []
        world.transition(world.claim("medic"), "again")

        row = world.row(task_id)
        assert (row["stage"], row["dead_letter_reason"], row["failed_attempts"]) == (
            "todo",
            None,
            0,
        )
        world.claim()
        world.check()

    def test_a_failed_triage_ends_in_the_dead_letter_for_good(self, world: World) -> None:
        definition = {
            **SIMPLE,
            "states": {**SIMPLE["states"], "triage": {"agent_role": "medic"}},
            "transitions": [
                *SIMPLE["transitions"],
                {"from": "triage", "to": "todo", "trigger": "again"},
            ],
        }
        policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="triage")
        task_id = world.task(world.pipeline(definition), retry=policy)
        world.fail(world.claim())
        world.fail(world.claim("medic"))

        assert world.claims("medic") == []
        # D-09: a requeue leads back to where it was given up at first
        world.do.dead_letters.requeue(task_id, stage=None)
        assert world.claim().task.stage == "todo"
        world.check()


class TestHeartbeat:
    # D-04: never shorter, whatever the clock does
    def test_a_clock_that_is_set_back_shortens_no_lease(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        world.task(pipeline_id)
        claim = world.claim()
        clock.advance(ms=-100_000)

        assert world.heartbeat(claim) == claim.expires_at_ms

    def test_an_exact_ttl_may_shorten(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        world.task(pipeline_id)
        claim = world.claim()

        assert world.heartbeat(claim, ttl_ms=1) == EPOCH_MS + 1
        clock.advance(ms=1)
        assert refusal(world.heartbeat, claim) == "expired"


class TestRelease:
    def test_a_release_charges_nothing_and_needs_no_wait(
        self, world: World, pipeline_id: str
    ) -> None:
        task_id = world.task(pipeline_id, retry=retry(max_attempts=1, retry_delay_ms=9_999))
        claim = world.claim()
        world.event(claim)

        world.release(claim)

        row = world.row(task_id)
        assert (row["failed_attempts"], row["is_delayed"], row["task_version"]) == (0, 0, 1)
        assert world.claim().run.attempt == 2
        world.check()


class TestNextMoment:
    def test_the_next_moment_is_the_nearest_delay_or_expiry(
        self, world: World, clock: FrozenClock, pipeline_id: str
    ) -> None:
        assert world.do.leases.until_next_moment_ms(CODER) is None
        world.task(pipeline_id, retry=retry(retry_delay_ms=700))
        world.fail(world.claim())
        assert world.do.leases.until_next_moment_ms(CODER) == 700
        world.task(pipeline_id)
        world.claim(lease_ttl_ms=600)
        assert world.do.leases.until_next_moment_ms(CODER) == 600
        clock.advance(ms=5_000)
        assert world.do.leases.until_next_moment_ms(CODER) == 0
