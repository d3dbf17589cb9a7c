"""Whoever waited for its turn goes by the clock as it is then, not as it was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import FrozenClock
from tests.process.clients import eventually
from tests.worlds import World, blocked_connections, refusal
from tickets.db.database import Transaction
from tickets.tracker.domain.records import Claim

PATIENCE_S = 20.0
TTL_MS = 60_000
WAITED_MS = 7_000

Lock = Callable[[Transaction], object]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def late(world: World, clock: FrozenClock, pool: ThreadPoolExecutor) -> Callable[..., Any]:
    """Return a function that lets an act wait for a lock while the clock goes on."""

    def act_late(lock: Lock, act: Callable[..., Any], *args: Any, ms: int, **more: Any) -> Any:
        with world.db.write() as tx:
            lock(tx)
            done: Future[Any] = pool.submit(act, *args, **more)
            eventually(lambda: is_waited_for(world), within_s=PATIENCE_S)
            clock.advance(ms=ms)
        return done.result(PATIENCE_S)

    return act_late


def is_waited_for(world: World) -> bool:
    """Tell whether somebody waits for what an open write block holds."""
    if world.db.dialect == "sqlite":
        return len(world.file._process.gate._line._places) > 0
    return blocked_connections(world.db) > 0


def first_claimable(tx: Transaction) -> object:
    return tx.many("tasks.next_claimable", agent_role="coder", agent_id="other", limit=1)


def stage_limits(tx: Transaction) -> object:
    return tx.hold("tasks.lock_stage", stage="todo")


def task_of(claim: Claim) -> Lock:
    return lambda tx: tx.hold("tasks.lock", task_id=claim.task.id)


def lease_of(claim: Claim) -> Lock:
    return lambda tx: tx.one(
        "leases.extend",
        lease_id=claim.lease_id,
        now_ms=claim.run.started_at_ms,
        ttl_ms=TTL_MS,
        expires_at_ms=claim.expires_at_ms,
    )


@pytest.mark.parametrize(
    ("lock", "limits"), [(first_claimable, None), (stage_limits, {"todo": 1})]
)
def test_a_lease_is_not_shorter_by_what_its_claim_waited(
    world: World,
    clock: FrozenClock,
    late: Callable[..., Any],
    lock: Lock,
    limits: dict[str, int] | None,
) -> None:
    world.task(world.pipeline())

    claim = late(lock, world.claim, per_state=limits, lease_ttl_ms=TTL_MS, ms=WAITED_MS)

    assert claim.run.started_at_ms == clock.now_ms()
    assert claim.expires_at_ms == clock.now_ms() + TTL_MS


def test_a_lease_is_kept_alive_from_when_its_heartbeat_had_its_turn(
    world: World, clock: FrozenClock, late: Callable[..., Any]
) -> None:
    world.task(world.pipeline())
    claim = world.claim(lease_ttl_ms=TTL_MS)

    expires_at_ms = late(lease_of(claim), world.heartbeat, claim, TTL_MS, ms=WAITED_MS)

    assert expires_at_ms == clock.now_ms() + TTL_MS


@pytest.mark.parametrize("end", ["transition", "fail", "release"])
def test_a_run_ends_when_it_had_its_turn(
    world: World, clock: FrozenClock, late: Callable[..., Any], end: str
) -> None:
    world.task(world.pipeline())
    claim = world.claim(lease_ttl_ms=TTL_MS)

    late(task_of(claim), getattr(world, end), claim, ms=WAITED_MS)

    (run,) = world.runs(claim.task.id)
    assert run.ended_at_ms == clock.now_ms()


@pytest.mark.parametrize("act", ["transition", "fail", "release", "event", "gate", "heartbeat"])
def test_a_lease_that_ran_out_while_its_holder_waited_is_over(
    world: World, late: Callable[..., Any], act: str
) -> None:
    world.task(world.pipeline())
    claim = world.claim(lease_ttl_ms=TTL_MS)
    lock = lease_of(claim) if act == "heartbeat" else task_of(claim)

    assert late(lock, refusal, getattr(world, act), claim, ms=TTL_MS) == "expired"
    assert world.row(claim.task.id)["is_leased"]
    world.check()
