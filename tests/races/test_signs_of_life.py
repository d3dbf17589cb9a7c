"""A heartbeat and an event of the same run, both of which have something to tell the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import FrozenClock
from tests.dispatching import Desk
from tests.worlds import World, looked_up
from tickets.ids import hash_token
from tickets.tracker.domain.documents import NewEvent

ROUNDS = 25
PATIENCE_S = 30
HALF_MINUTE_MS = 30_000


# One writer at a time waits for nobody.
@pytest.mark.postgres
@pytest.mark.parametrize(
    "kind", [pytest.param("step", id="step"), pytest.param("ticket.blocked", id="report")]
)
def test_neither_waits_for_the_other(world: World, clock: FrozenClock, kind: str) -> None:
    desk = Desk(world)
    ticket = desk.assigned()
    claim = desk.claim(ticket, lease_ttl_ms=ROUNDS * 10 * HALF_MINUTE_MS)
    holder = hash_token(claim.lease_token)
    start = threading.Barrier(2, timeout=PATIENCE_S)

    def report() -> None:
        event = NewEvent(kind=kind, data={"reason": "r"})
        world.do.events.append(claim.run.id, [event], holder=holder)

    def at_once(act: Callable[[], object]) -> None:
        start.wait()
        act()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS):
            clock.advance(ms=HALF_MINUTE_MS)
            acts = (lambda: world.heartbeat(claim), report)
            # A deadlock would be a Collision, which nobody repeats here.
            for future in [pool.submit(at_once, act) for act in acts]:
                future.result(PATIENCE_S)
            if kind != "step":
                desk.move(ticket, "in_progress")

    assert quick_successions(world, f"ticket:{ticket.id}") == []
    desk.check()


def quick_successions(world: World, req: str) -> list[int]:
    """Return the numbers of events that say the same again within half a minute."""
    sql = """
        SELECT b.n
          FROM task_events AS a
          JOIN task_events AS b ON b.req = a.req AND b.n = a.n + 1 AND b.state = a.state
         WHERE a.req = ? AND b.recorded_at_ms - a.recorded_at_ms < 30000"""
    return [n for (n,) in looked_up(world.db, sql, req)]
