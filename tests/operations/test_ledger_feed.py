"""What happens to tasks, as the ledger tells it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from tests import drills
from tests.conftest import Client, FrozenClock
from tests.factories import REVIEW, Factory
from tests.scratch import scratch_world
from tests.worlds import World, refusal
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database, Transaction
from tickets.ledger.domain.facts import Fact
from tickets.ledger.operations.feed import LedgerFeed, opening
from tickets.ledger.operations.store import TxStore, event_of
from tickets.ledger.routes import build_ledger
from tickets.sqlite_task_ledger.events import Event
from tickets.sqlite_task_ledger.rebuilding import verify
from tickets.sqlite_task_ledger.snapshots import Snapshot, fold
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE
from tickets.tracker.domain.documents import RetryPolicyDocument
from tickets.tracker.domain.records import Claim
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.tracker.routes import build_operations

SEED = drills.seed(5)
TRIAGE: dict[str, Any] = {
    "initial": "todo",
    "states": {
        "todo": {"agent_role": "coder"},
        "triage": {"agent_role": "coder"},
        "done": {"terminal": True},
        "rejected": {"terminal": True},
        "cancelled": {"terminal": True},
        "archive": {"terminal": True, "agent_role": "coder"},
    },
    "transitions": [
        {"from": "todo", "to": "done", "trigger": "done"},
        {"from": "todo", "to": "rejected", "trigger": "reject"},
        {"from": "todo", "to": "cancelled", "trigger": "drop"},
        {"from": "todo", "to": "archive", "trigger": "archive"},
        {"from": "todo", "to": "todo", "trigger": "again"},
        {"from": "triage", "to": "todo", "trigger": "retry"},
        {"from": "archive", "to": "todo", "trigger": "revive"},
    ],
}


def events(world: World, req: str) -> list[Event]:
    with world.db.read() as tx:
        rows = tx.many("task_events.page_of_req", req=req, after_n=0, limit=1000)
    return [event_of(row) for row in rows]


def states(world: World, task_id: str, life: str = "") -> list[str]:
    return [event.state for event in events(world, f"task:{task_id}{life}")]


def snapshot(world: World, req: str) -> Snapshot:
    with world.db.read() as tx:
        row = tx.one("task_state_snapshot.get", req=req)
    assert row is not None
    return Snapshot(**row)


def differing(world: World) -> list[str]:
    with world.db.read() as tx:
        return verify(TxStore(tx))


@pytest.fixture(autouse=True)
def nothing_is_refused(
    world: World, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Fail where the ledger refused a fact, and where the snapshot is not the fold."""
    yield
    if request.node.get_closest_marker("refusals") is None:
        assert [each.message for each in caplog.records if "refused" in each.message] == []
    assert differing(world) == []


def test_L29_a_retried_task_is_told_from_begin_to_end(world: World, clock: FrozenClock) -> None:
    task_id = world.task(world.pipeline(), assigned_by="lead", assigned_agent_id="a1")
    first = world.claim()
    clock.advance(ms=10)
    world.fail(first)
    second = world.claim()
    world.transition(second)

    told = events(world, f"task:{task_id}")

    assert [event.state for event in told] == [
        "RECEIVED", "RUNNING", "RETRYING", "RUNNING", "COMPLETED",
    ]  # fmt: skip
    assert [event.actor for event in told] == ["lead", "a1", "a1", "a1", "a1"]
    assert {event.source for event in told} == {"tracker"}
    assert [event.stage for event in told] == ["todo", "todo", None, "todo", "done"]
    assert told[1].data == {"run_id": first.run.id, "attempt": 1}
    assert told[2].message == "broken"
    assert told[2].data == {"run_id": first.run.id, "next_eligible_at_ms": clock.now_ms()}
    prefix = f"task:{task_id}"
    assert [event.event_id for event in told] == [
        f"{prefix}:0:created:1",
        f"{prefix}:{first.run.id}:claimed:1",
        f"{prefix}:{first.run.id}:retrying:0",
        f"{prefix}:{second.run.id}:claimed:1",
        f"{prefix}:{second.run.id}:moved:2",
    ]
    assert snapshot(world, prefix).attempts == 2


def test_L30_an_expired_lease_is_stale_until_the_next_claim(
    world: World, clock: FrozenClock
) -> None:
    task_id = world.task(world.pipeline(), retry=RetryPolicyDocument(max_attempts=1))
    first = world.claim(lease_ttl_ms=1000)
    clock.advance(ms=1000)
    world.advance()
    assert states(world, task_id) == ["RECEIVED", "RUNNING", "STALE"]
    assert events(world, f"task:{task_id}")[-1].data == {"run_id": first.run.id}

    second = world.claim(lease_ttl_ms=1000)
    world.event(second)
    clock.advance(ms=1000)
    world.advance()

    told = states(world, task_id)
    assert told == ["RECEIVED", "RUNNING", "STALE", "RUNNING", "STALE", "FAILED"]
    last = events(world, f"task:{task_id}")[-1]
    assert (last.message, last.data) == ("lease_expired", {"reason": "max_attempts_exceeded"})


def test_L30_a_task_that_is_given_up_has_failed(world: World) -> None:
    policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="done")
    task_id = world.task(world.pipeline(), retry=policy)
    world.fail(world.claim())

    last = events(world, f"task:{task_id}")[-1]

    assert (last.state, last.stage, last.message) == ("FAILED", "done", "broken")
    assert states(world, task_id) == ["RECEIVED", "RUNNING", "FAILED"]


def test_a_task_is_queued_between_two_stages(world: World) -> None:
    task_id = world.task(world.pipeline(REVIEW))
    world.transition(world.claim(), "submit")
    world.transition(world.claim("reviewer", "a2"), "approve")

    told = events(world, f"task:{task_id}")

    assert [(event.state, event.stage) for event in told] == [
        ("RECEIVED", "coding"),
        ("RUNNING", "coding"),
        ("QUEUED", "review"),
        ("RUNNING", "review"),
        ("COMPLETED", "done"),
    ]


@pytest.mark.parametrize(
    ("trigger", "state"), [("done", "COMPLETED"), ("reject", "FAILED"), ("drop", "CANCELLED")]
)
def test_the_name_of_a_terminal_stage_is_the_outcome(
    world: World, trigger: str, state: str
) -> None:
    task_id = world.task(world.pipeline(TRIAGE))
    world.transition(world.claim(), trigger)

    assert states(world, task_id)[-1] == state


def test_a_dead_letter_stage_is_a_failure_whatever_its_name(world: World) -> None:
    policy = RetryPolicyDocument(dead_letter_stage="done")
    task_id = world.task(world.pipeline(TRIAGE), retry=policy)
    world.transition(world.claim(), "done")

    assert states(world, task_id)[-1] == "FAILED"


def test_released_and_cancelled_tasks_are_told(world: World) -> None:
    task_id = world.task(world.pipeline())
    world.release(world.claim())
    world.claim()
    world.do.dead_letters.cancel(task_id, reason="not wanted")
    world.do.dead_letters.cancel(task_id, reason="again")

    assert states(world, task_id) == ["RECEIVED", "RUNNING", "QUEUED", "RUNNING", "CANCELLED"]
    assert events(world, f"task:{task_id}")[-1].message == "not wanted"


def test_work_that_is_taken_up_again_is_another_req(world: World, clock: FrozenClock) -> None:
    task_id = world.task(world.pipeline(TRIAGE))
    for _ in range(2):
        world.do.dead_letters.cancel(task_id, reason=None)
        world.do.dead_letters.requeue(task_id, stage=None)
    claim = world.claim(lease_ttl_ms=100_000)
    clock.advance(ms=30_000)
    world.heartbeat(claim)
    world.transition(claim, "archive")
    world.transition(world.claim(), "revive")

    assert states(world, task_id) == ["RECEIVED", "CANCELLED"]
    assert states(world, task_id, ":2") == ["QUEUED", "CANCELLED"]
    assert states(world, task_id, ":3") == ["QUEUED", "RUNNING", "RUNNING", "COMPLETED"]
    assert states(world, task_id, ":4") == ["RECEIVED", "RUNNING", "QUEUED"]


def test_a_triage_agent_works_on_another_req(world: World) -> None:
    policy = RetryPolicyDocument(max_attempts=1, dead_letter_stage="triage")
    task_id = world.task(world.pipeline(TRIAGE), retry=policy)
    world.fail(world.claim())
    world.transition(world.claim(), "retry")

    assert states(world, task_id) == ["RECEIVED", "RUNNING", "FAILED"]
    assert states(world, task_id, ":2") == ["RECEIVED", "RUNNING", "QUEUED"]


def test_signs_of_life_are_told_once_in_a_while(world: World, clock: FrozenClock) -> None:
    task_id = world.task(world.pipeline())
    claim = world.claim(lease_ttl_ms=1_000_000)
    clock.advance(ms=29_999)
    world.heartbeat(claim)
    world.event(claim)
    assert len(states(world, task_id)) == 2

    clock.advance(ms=1)
    world.heartbeat(claim)
    world.event(claim)
    clock.advance(ms=30_000)
    world.event(claim)

    assert states(world, task_id) == ["RECEIVED", "RUNNING", "RUNNING", "RUNNING"]
    assert events(world, f"task:{task_id}")[-1].actor == "a1"


def test_many_new_tasks_are_told_as_one_would_be(world: World) -> None:
    pipeline_id = world.pipeline()
    ids = [*world.tasks(pipeline_id, 3), world.task(pipeline_id)]

    told = [events(world, f"task:{task_id}") for task_id in ids]

    assert [len(each) for each in told] == [1] * 4
    assert len({(e.state, e.actor, e.stage, e.n) for (e,) in told}) == 1
    assert [e.event_id for (e,) in told] == [f"task:{task_id}:0:created:1" for task_id in ids]


@pytest.mark.parametrize("number", [1, 2])
def test_first_facts_are_folded_as_the_fold_does(world: World, number: int) -> None:
    reqs = [f"task:{each}" for each in range(number)]
    openings = [opening(r, source="b", actor="a", stage="s", event_id=r) for r in reqs]
    with world.db.write() as tx:
        LedgerFeed().open_many(tx, openings, now_ms=7)

    for req in reqs:
        (event,) = events(world, req)
        assert snapshot(world, req) == fold(None, event)
        assert (event.actor, event.stage, event.recorded_at_ms) == ("a", "s", 7)


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_without_a_name_is_left_out(world: World, number: int) -> None:
    """Imports keep such pipelines; to the ledger a stage is absent or has a name."""
    definition = '{"initial":"","states":{"":{"agent_role":"coder"}},"transitions":[]}'
    with world.db.write() as tx:
        tx.one(
            "pipelines.create", id="p", name="p", definition_json=definition, created_at_ms=1
        )
        tx.run(
            "pipelines.add_stage", pipeline_id="p", stage="", agent_role="coder", is_terminal=0
        )

    for task_id in world.tasks("p", number):
        assert [event.stage for event in events(world, f"task:{task_id}")] == [None]


def test_a_fact_that_is_undone_is_not_told(world: World) -> None:
    task_id = world.task(world.pipeline())
    claim = world.claim()
    assert refusal(world.transition, claim, "nope") == "invalid_transition"

    def interrupted() -> None:
        with world.db.write():
            world.transition(claim)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert states(world, task_id) == ["RECEIVED", "RUNNING"]


def test_what_was_there_before_the_ledger_appears_with_its_next_fact(
    db: Database, clock: FrozenClock, world: World
) -> None:
    silent = World(db, clock)
    silent.do = build_operations(
        db,
        clock,
        gates="enforce",
        pending_migrations=list,
        random_unit=lambda: 0.5,
        ledger=LedgerFeed(is_on=False),
    )
    pipeline_id = silent.pipeline()
    ids = [silent.task(pipeline_id, priority=9 - number) for number in range(3)]
    running = [silent.claim(), silent.claim()]
    assert states(world, ids[0]) == []

    world.transition(running[0])
    world.fail(running[1])
    world.do.dead_letters.cancel(ids[2], reason=None)

    assert states(world, ids[0]) == ["RECEIVED", "RUNNING", "COMPLETED"]
    assert states(world, ids[1]) == ["QUEUED", "RETRYING"]
    assert states(world, ids[2]) == ["RECEIVED", "CANCELLED"]


def test_texts_that_are_too_long_are_cut(world: World) -> None:
    agent = "ä" * 256
    task_id = world.task(world.pipeline())
    claim = world.claim(agent=agent)
    world.do.runs.release(claim.run.id, reason="r" * 5000, holder=None)

    last = events(world, f"task:{task_id}")[-1]

    assert (last.actor, last.message) == (agent[:200], "r" * 4000)


def test_a_service_without_the_feed_tells_nothing(
    db: Database, settings: Settings, clock: FrozenClock, world: World
) -> None:
    quiet = Application(db, Settings(db=settings.db, ledger_feed="off", wait_slots=0), clock)
    make = Factory(Client(quiet))
    task_id = make.task()
    make.transition(make.claim())

    assert states(world, task_id) == []


class Held:
    """What a caller that can hold tasks tells of one."""

    def __init__(self, world: World, clock: FrozenClock) -> None:
        self._db = world.db
        self._clock = clock
        self._feed = TaskFeed(LedgerFeed())

    def hold(self, task_id: str) -> None:
        """Hold a task."""
        with self._db.write() as tx:
            self._feed.held(tx, task_id, version=1, reason="input", now_ms=self._clock.now_ms())

    def let_go(self, task_id: str, *, is_running: bool) -> None:
        """Let it go."""
        with self._db.write() as tx:
            self._feed.let_go(
                tx, task_id, version=1, is_running=is_running, now_ms=self._clock.now_ms()
            )


def test_a_held_task_stays_blocked_whatever_its_run_does(
    world: World, clock: FrozenClock
) -> None:
    held = Held(world, clock)
    pipeline_id = world.pipeline(REVIEW)
    task_id = world.task(pipeline_id, retry=RetryPolicyDocument(max_attempts=9))
    claim = world.claim()
    held.hold(task_id)
    world.fail(claim)
    clock.advance(ms=1)
    held.let_go(task_id, is_running=False)
    held.hold(task_id)
    clock.advance(ms=1)
    held.let_go(task_id, is_running=False)
    claim = world.claim(lease_ttl_ms=1000)
    held.hold(task_id)
    clock.advance(ms=1000)
    world.advance()
    assert states(world, task_id)[-1] == "BLOCKED"
    held.let_go(task_id, is_running=False)
    claim = world.claim()
    held.hold(task_id)
    world.transition(claim, "submit")
    assert states(world, task_id)[-1] == "BLOCKED"
    clock.advance(ms=1)
    held.let_go(task_id, is_running=True)
    held.hold(task_id)
    world.transition(world.claim("reviewer"), "approve")

    told = states(world, task_id)
    assert told[:8] == [
        "RECEIVED", "RUNNING", "BLOCKED", "BLOCKED", "QUEUED", "BLOCKED", "QUEUED", "RUNNING",
    ]  # fmt: skip
    assert told[-2:] == ["RUNNING", "COMPLETED"]


class Ticket:
    """A caller of the feed's door, as one that keeps tickets: its status and its version."""

    WAYS: ClassVar = {
        "open": ("in_progress", "cancelled"),
        "in_progress": ("done", "failed", "cancelled", "blocked"),
        "blocked": ("in_progress", "cancelled"),
    }
    STATES: ClassVar = {
        "in_progress": "RUNNING",
        "blocked": "BLOCKED",
        "done": "COMPLETED",
        "failed": "FAILED",
        "cancelled": "CANCELLED",
    }

    def __init__(self, feed: LedgerFeed, id_: str) -> None:
        self._feed = feed
        self.req = f"ticket:{id_}"
        self.status = "open"
        self.version = 1
        self.state = "RECEIVED"

    def tell(self, tx: Transaction, now_ms: int, times: int = 1) -> None:
        """Tell where it stands, perhaps more than once."""
        fact = Fact(
            self.req,
            self.state,
            now_ms,
            "tickets",
            actor="user",
            event_id=f"{self.req}:v{self.version}:{self.state}",
            scope="w1",
        )
        for _ in range(times):
            self._feed.record(tx, fact)

    def go_on(self, chance: random.Random) -> None:
        """Take any way that there is."""
        self.version += 1
        if self.status == "open" and self.state == "RECEIVED" and chance.random() < 0.5:
            self.state = "QUEUED"
            return
        self.status = chance.choice(self.WAYS[self.status])
        self.state = self.STATES[self.status]


def test_L31_each_ticket_stands_where_the_ledger_says(world: World, clock: FrozenClock) -> None:
    chance = random.Random(SEED)
    tickets = [Ticket(LedgerFeed(), str(number)) for number in range(30)]
    for ticket in tickets:
        with world.db.write() as tx:
            ticket.tell(tx, clock.now_ms())
    alive = list(tickets)
    while alive:
        ticket = chance.choice(alive)
        ticket.go_on(chance)
        clock.advance(ms=chance.randrange(3))
        with world.db.write() as tx:
            ticket.tell(tx, clock.now_ms(), times=chance.choice([1, 1, 2]))
        alive = [each for each in alive if each.status in Ticket.WAYS]

    for ticket in tickets:
        found = snapshot(world, ticket.req)
        assert (found.state, found.scope) == (ticket.state, "w1"), f"seed {SEED}"
        assert found.event_count == ticket.version


class History:
    """Does things to tasks, in any order."""

    # What may happen, and how often.
    ACTS: ClassVar = [
        *["create", "event", "heartbeat", "fail"] * 2,
        *["claim", "move"] * 4,
        *["release", "expire", "cancel", "requeue", "wait"],
    ]
    TRIGGERS = ("done", "again", "reject", "archive", "revive", "submit", "approve")

    def __init__(self, world: World, clock: FrozenClock, seed: int) -> None:
        self._world = world
        self._clock = clock
        self._chance = random.Random(seed)
        self._pipelines = [world.pipeline(TRIAGE), world.pipeline(REVIEW)]
        self._claims: list[Claim] = []
        self._task_ids: list[str] = []
        self.create()

    def run(self, steps: int) -> None:
        """Do so many things."""
        for _ in range(steps):
            getattr(self, self._chance.choice(self.ACTS))()

    def create(self) -> None:
        policy = RetryPolicyDocument(
            max_attempts=self._chance.choice([None, 1, 2]),
            retry_delay_ms=self._chance.choice([0, 5]),
        )
        pipeline_id = self._chance.choice(self._pipelines)
        self._task_ids.append(self._world.task(pipeline_id, retry=policy))

    def claim(self) -> None:
        role = self._chance.choice(["coder", "reviewer"])
        self._claims += self._world.claims(role, lease_ttl_ms=50_000)

    def event(self) -> None:
        for held in self._held(keep=True):
            refusal(self._world.event, held)

    def heartbeat(self) -> None:
        for held in self._held(keep=True):
            refusal(self._world.heartbeat, held)

    def move(self) -> None:
        for held in self._held():
            while self._moved(held) == "invalid_transition":
                pass

    def _moved(self, held: Claim) -> str | None:
        return refusal(self._world.transition, held, self._chance.choice(self.TRIGGERS))

    def fail(self) -> None:
        for held in self._held():
            refusal(self._world.fail, held)

    def release(self) -> None:
        for held in self._held():
            refusal(self._world.release, held)

    def expire(self) -> None:
        self._clock.advance(ms=50_000)

    def wait(self) -> None:
        self._clock.advance(ms=self._chance.choice([1, 20_000]))

    def cancel(self) -> None:
        task_id = self._chance.choice(self._task_ids)
        refusal(self._world.do.dead_letters.cancel, task_id, reason=None)

    def requeue(self) -> None:
        for task_id in self._task_ids:
            refusal(self._world.do.dead_letters.requeue, task_id, stage=None)

    def _held(self, *, keep: bool = False) -> list[Claim]:
        """Return one of the claims that were granted, none where there is none."""
        if not self._claims:
            return []
        index = self._chance.randrange(len(self._claims))
        return [self._claims[index] if keep else self._claims.pop(index)]


def check_history(world: World) -> None:
    """Compare where each task stands with what the ledger says."""
    expected = {0: {"RUNNING"}, 1: {"RECEIVED", "QUEUED", "RETRYING", "STALE"}}
    for row in world.query(
        "SELECT id, is_leased, is_dead, is_terminal, claim_role FROM tasks ORDER BY seq"
    ):
        task_id, is_leased, is_dead, is_terminal, _ = row
        lives = world.query(
            "SELECT state FROM task_state_snapshot WHERE req = ? OR req LIKE ?"
            " ORDER BY last_seq DESC",
            f"task:{task_id}",
            f"task:{task_id}:%",
        )
        state = lives[0][0]
        if is_leased:
            assert state in expected[0], task_id
        elif is_dead:
            assert state in ("FAILED", "CANCELLED"), task_id
        elif is_terminal:
            assert state in ("COMPLETED", "FAILED", "CANCELLED", "QUEUED"), task_id
        else:
            assert state in expected[1] | {"FAILED"}, task_id


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_L31_no_history_of_tasks_is_refused(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    with scratch_world() as (world, clock):
        History(world, clock, seed).run(steps=250)

        assert [each.message for each in caplog.records if "refused" in each.message] == []
        assert differing(world) == [], f"seed {seed}"
        check_history(world)
        world.check()


@pytest.mark.parametrize("previous", DEFAULT_MACHINE.open)
@pytest.mark.parametrize("bare", [False, True])
def test_a_step_in_one_statement_folds_as_the_fold_does(
    world: World, previous: str, bare: bool
) -> None:
    feed, moment = LedgerFeed(), iter(range(1, 1000))
    words: dict[str, Any] = {"actor": "b", "stage": "t", "message": "m", "data": {"b": 2}}
    start = "RECEIVED" if previous == "RECEIVED" else "QUEUED"
    for state in DEFAULT_MACHINE.successors(previous):
        req = f"task:{state}"
        with world.db.write() as tx:
            feed.record(tx, Fact(req, start, next(moment), "tracker", "a", "s", "l", {"a": 1}))
            feed.record(tx, Fact(req, previous, next(moment), "tracker", "a"))
            before = feed.snapshot(tx, req)
            fact = Fact(req, state, next(moment), "tracker", **({} if bare else words))
            assert not feed.step(tx, fact, unless=previous)
            assert feed.step(tx, fact)

        last, now = events(world, req)[-1], snapshot(world, req)
        assert before is not None
        assert now == fold(before, last)
        assert last.previous_state == previous
        assert now.actor == ("a" if bare else "b")


def test_a_step_that_may_not_follow_is_none(world: World) -> None:
    feed = LedgerFeed()
    with world.db.write() as tx:
        assert not feed.step(tx, Fact("task:x", "QUEUED", 1, "tracker"))
        feed.record(tx, Fact("task:x", "BLOCKED", 2, "tracker"))
        assert not feed.step(tx, Fact("task:x", "COMPLETED", 3, "tracker"))

    assert states(world, "x") == ["RECEIVED", "BLOCKED"]


@pytest.mark.refusals
def test_a_refused_fact_is_counted_and_does_not_fail_the_request(
    app: Application, client: Client, make: Factory, world: World, caplog: Any
) -> None:
    task_id = make.task()
    req = f"task:{task_id}"
    with world.db.write() as tx, tx.raw() as connection:
        # As if somebody had damaged it: the event number is taken.
        connection.execute(
            f"UPDATE task_state_snapshot SET event_count = 0 WHERE req = '{req}'"
        )

    with caplog.at_level(logging.ERROR):
        claim = make.claim()
        make.transition(claim)

    assert client.get(f"/tasks/{task_id}").json["stage"] == "done"
    assert "tickets_ledger_feed_errors_total 2.0" in client.get("/metrics").text
    assert sum(req in each.message for each in caplog.records) == 2
    assert states(world, task_id) == ["RECEIVED"]
    assert client.post("/ledger/rebuild").json["changed"] == 1


@pytest.mark.refusals
@pytest.mark.parametrize("number", [1, 2])
def test_first_facts_of_what_is_known_are_refused_whole(
    world: World, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    feed = LedgerFeed()
    reqs = [f"task:{each}" for each in range(number)]
    openings = [opening(r, source="b", actor="a", stage="s", event_id=r) for r in reqs]
    with world.db.write() as tx:
        feed.record(tx, Fact("task:0", "RECEIVED", 1, "tracker", "a"))
        feed.open_many(tx, openings, now_ms=2)

    assert [event.source for event in events(world, "task:0")] == ["tracker"]
    assert states(world, "1") == []
    assert [each.message for each in caplog.records if "refused" in each.message] != []


@pytest.mark.refusals
def test_a_way_that_is_refused_leaves_nothing_of_it(
    db: Database, clock: FrozenClock, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    feed = LedgerFeed()
    with db.write() as tx:
        feed.record(tx, Fact("task:x", "RECEIVED", 1, "tracker", event_id="task:x:1"))
        # Over RUNNING, whose event goes in; the one behind it has the id of the first.
        feed.record(tx, Fact("task:x", "COMPLETED", 2, "tracker", event_id="task:x:1"))
        feed.record(tx, Fact("task:x", "RECEIVED", 3, "tracker", event_id="task:x:1"))

    assert [event.state for event in events(world, "task:x")] == ["RECEIVED"]
    refused = [each.message for each in caplog.records if "refused" in each.message]
    assert len(refused) == 1


def test_the_log_of_the_service_is_one_that_clients_can_follow(
    db: Database, clock: FrozenClock, make: Factory, client: Client
) -> None:
    make.finished(make.pipeline())
    ledger = build_ledger(db, clock)
    whole = client.get("/ledger/events", status=200).json

    assert [each["seq"] for each in whole["items"]] == [1, 2, 3]
    assert ledger.tasks.verify(scope=None).ok


@pytest.mark.postgres
def test_L34_nobody_reads_past_a_number_that_may_still_come(
    db: Database, client: Client
) -> None:
    is_drawn, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with db.write() as tx:
            LedgerFeed().record(tx, Fact("task:slow", "RECEIVED", 1, "tracker"))
            is_drawn.set()
            assert may_end.wait(timeout=30)

    thread = threading.Thread(target=slow)
    thread.start()
    assert is_drawn.wait(timeout=30)
    event = {"state": "QUEUED", "actor": "a", "source": "s", "req": "quick"}
    client.post_json("/ledger/events", event, status=201)
    early = client.get("/ledger/events", status=200).json
    may_end.set()
    thread.join()

    assert early == {"items": [], "next_cursor": "0"}
    later = client.get("/ledger/events?after_seq=0", status=200).json
    assert [each["req"] for each in later["items"]] == ["task:slow", "quick"]
