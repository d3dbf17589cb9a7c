"""Tasks that another part of the service keeps: its manager steers them and hears of all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import FrozenClock
from tests.factories import REVIEW
from tests.worlds import World, refusal
from tickets.db.database import Database
from tickets.errors import Conflict, LeaseExpired, TicketsError
from tickets.tracker.domain.documents import (
    NewAssignment,
    NewEvent,
    NewTask,
    RetryPolicyDocument,
    TransitionRequest,
)

MANAGER = "keeper"


class Keeper:
    """Writes down what it is told, and refuses a transition where it is to."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.veto: TicketsError | None = None

    def refusal(self) -> TicketsError:
        return Conflict("kept by somebody")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def hear(_tx: object, task_id: str, **fact: Any) -> None:
            self.told.append((name, {"task_id": task_id, **fact}))
            if name == "on_transition" and self.veto is not None:
                raise self.veto

        return hear

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@pytest.fixture
def keeper(world: World) -> Keeper:
    keeper = Keeper()
    world.managers.add(MANAGER, keeper)
    return keeper


@pytest.fixture
def task_id(world: World, keeper: Keeper) -> str:
    document = NewTask(pipeline_id=world.pipeline(), title="t", description="")
    return world.do.creation.create(document, manager=MANAGER)


def reasons(world: World, task_id: str) -> list[str]:
    why = world.do.details.why(task_id, agent_id="a1", reader=None)
    return [reason.code for reason in why.reasons]


class TestHold:
    def test_nobody_claims_a_held_task_until_that_is_undone(
        self, world: World, task_id: str
    ) -> None:
        world.do.managed.hold(task_id)
        world.do.managed.hold(task_id)
        assert world.claims() == []
        assert reasons(world, task_id) == ["held"]

        world.do.managed.unhold(task_id)
        world.do.managed.unhold(task_id)
        assert reasons(world, task_id) == []
        assert world.claim().task.id == task_id
        world.check()

    def test_a_lease_that_is_there_goes_on(self, world: World, task_id: str) -> None:
        claim = world.claim()
        world.do.managed.hold(task_id)

        world.heartbeat(claim)
        world.event(claim)
        world.transition(claim)

        assert world.row(task_id)["stage"] == "done"
        world.check()

    def test_a_held_task_stays_so_when_its_lease_runs_out(
        self, world: World, task_id: str, clock: FrozenClock
    ) -> None:
        world.claim(lease_ttl_ms=100)
        world.do.managed.hold(task_id)
        clock.advance(ms=1_000)

        assert world.claims() == []
        world.do.managed.unhold(task_id)
        assert world.claim().run.attempt == 2
        world.check()


class TestWithdraw:
    def test_the_agent_is_told_that_its_lease_is_over(self, world: World, task_id: str) -> None:
        claim = world.claim()

        run_id = world.do.managed.withdraw(task_id, reason="called_off", details={"by": "me"})

        assert run_id == claim.run.id
        for act in (world.heartbeat, world.event, world.transition, world.fail):
            with pytest.raises(LeaseExpired) as raised:
                act(claim)
            assert raised.value.details == {"reason": "called_off"}
        [run] = world.runs(task_id)
        assert (run.status, run.ended_at_ms) == ("stale", world.clock.now_ms())
        task = world.row(task_id)
        assert (task["dead_letter_reason"], task["task_version"]) == ("called_off", 2)
        assert task["failed_attempts"] == 0
        [event] = world.events(task_id)
        assert (event.kind, bytes(event.data).decode()) == (
            "withdrawn",
            '{"reason":"called_off","by":"me"}',
        )
        assert world.claims() == []
        world.check()

    def test_again_or_at_the_end_nothing_happens(self, world: World, task_id: str) -> None:
        world.do.managed.withdraw(task_id, reason="called_off", details={})
        before = world.row(task_id)
        assert world.do.managed.withdraw(task_id, reason="other", details={}) is None
        assert world.row(task_id) == before

        document = NewTask(pipeline_id=world.pipeline(), title="t", description="")
        done = world.do.creation.create(document, manager=MANAGER)
        world.transition(world.claim())
        ended = world.row(done)
        assert world.do.managed.withdraw(done, reason="called_off", details={}) is None
        assert world.row(done) == ended
        world.check()


class TestSteering:
    def test_pin_and_priority(self, world: World, task_id: str) -> None:
        other = world.task(world.pipeline(), priority=10)
        world.do.managed.set_priority(task_id, 20)
        world.do.managed.pin(task_id, "a2", assigned_by="keeper")

        assert world.claim(agent="a1").task.id == other
        assert world.claim(agent="a2").task.id == task_id
        world.check()

    def test_clients_change_neither_assignments_nor_dependencies_nor_the_dead_letter(
        self, world: World, task_id: str
    ) -> None:
        other = world.task(world.pipeline())
        before = world.row(task_id)
        do = world.do

        codes = {
            refusal(do.assignments.assign, task_id, NewAssignment(agent_id="a")),
            refusal(do.dependencies.add, task_id, other),
            refusal(do.dead_letters.cancel, task_id, reason=None),
            refusal(do.dead_letters.requeue, task_id, stage=None),
        }
        world.do.managed.pin(task_id, "a2", assigned_by="keeper")
        codes |= {refusal(do.assignments.unassign, task_id, "a2")}

        assert codes == {Conflict.code}
        assert {**world.row(task_id), "claim_assignee": None} == before
        assert refusal(do.dependencies.add, other, task_id) is None
        world.check()


class TestTelling:
    def test_each_fact_of_a_managed_task_is_told_and_no_other(
        self, world: World, keeper: Keeper, task_id: str, clock: FrozenClock
    ) -> None:
        claim = world.claim()
        world.do.events.append(claim.run.id, [NewEvent(kind="x", data={"a": 1})], holder=None)
        world.heartbeat(claim)
        world.release(claim)
        world.fail(world.claim())
        world.claim(lease_ttl_ms=100)
        clock.advance(ms=1_000)
        world.advance()
        world.transition(world.claim())
        world.tasks(world.pipeline(), 1)
        world.transition(world.claim())

        assert keeper.names == [
            *("on_claim", "on_event", "on_alive", "on_heartbeat", "on_release"),
            *("on_claim", "on_fail"),
            *("on_claim", "on_lease_expired"),
            *("on_claim", "on_transition"),
        ]
        assert {fact["task_id"] for _, fact in keeper.told} == {task_id}
        assert keeper.told[1][1]["data"] == {"a": 1}
        assert keeper.told[-1][1]["stage"].terminal
        assert [run.attempt for run in world.runs(task_id)] == [1, 2, 3, 4]
        world.check()

    def test_the_end_of_the_retries_is_told(self, world: World, keeper: Keeper) -> None:
        document = NewTask(
            pipeline_id=world.pipeline(),
            title="t",
            description="",
            retry_policy=RetryPolicyDocument(max_attempts=2),
        )
        world.do.creation.create(document, manager=MANAGER)
        for _ in range(2):
            world.fail(world.claim())

        fails = [fact for name, fact in keeper.told if name == "on_fail"]
        assert [fact["is_dead"] for fact in fails] == [False, True]

    def test_an_expiry_is_free_whatever_the_run_did(
        self, world: World, keeper: Keeper, clock: FrozenClock, task_id: str
    ) -> None:
        claim = world.claim(lease_ttl_ms=100)
        world.event(claim)
        clock.advance(ms=1_000)
        world.advance()

        assert world.row(task_id)["failed_attempts"] == 0
        assert keeper.names[-1] == "on_lease_expired"

    def test_what_it_raises_undoes_the_transition(
        self, world: World, keeper: Keeper, task_id: str, db: Database
    ) -> None:
        claim = world.claim()
        before = world.row(task_id)
        keeper.veto = Conflict("not yet")

        assert refusal(world.transition, claim) == Conflict.code
        assert world.row(task_id) == before
        assert world.runs(task_id)[0].status == "running"

        keeper.veto = None
        output = {"sha": "x"}
        world.do.runs.transition(
            claim.run.id, TransitionRequest(trigger="complete", output=output), holder=None
        )
        assert keeper.told[-1][1]["output"] == output
        world.check()

    def test_a_stage_in_between_is_told_as_one(self, world: World, keeper: Keeper) -> None:
        document = NewTask(pipeline_id=world.pipeline(REVIEW), title="t", description="")
        world.do.creation.create(document, manager=MANAGER)
        world.transition(world.claim(), "submit")

        fact = keeper.told[-1][1]
        assert (fact["stage"].name, fact["stage"].terminal) == ("review", False)
