"""What agents do is a sign of life of their tickets, told to the ledger once in a while."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.dispatching import Desk
from tests.factories import Json
from tests.worlds import World, looked_up
from tickets.app import Application
from tickets.config import Settings
from tickets.ids import hash_token
from tickets.lifecycle.domain.records import Ticket
from tickets.tracker.domain.documents import NewEvent

TTL_MS = 10_000_000


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def told(desk: Desk, ticket: Ticket) -> list[tuple[str, str, str, str]]:
    """Return state, actor, source and scope of all events of a ticket, without ids."""
    sql = "SELECT state, actor, source, scope FROM task_events WHERE req = ? ORDER BY n"
    return [tuple(row) for row in looked_up(desk.world.db, sql, f"ticket:{ticket.id}")]


def states(desk: Desk, ticket: Ticket) -> list[str]:
    return [state for state, *_ in told(desk, ticket)]


def test_a_heartbeat_is_told_of_task_and_ticket_every_half_minute(
    desk: Desk, clock: FrozenClock
) -> None:
    ticket = desk.assigned()
    claim = desk.claim(ticket, lease_ttl_ms=TTL_MS)
    before = told(desk, ticket)
    clock.advance(ms=29_999)
    desk.world.heartbeat(claim)
    assert told(desk, ticket) == before

    clock.advance(ms=1)
    desk.world.heartbeat(claim)
    desk.world.heartbeat(claim)

    (_, actor, source, scope) = before[-1]
    assert told(desk, ticket) == [*before, ("RUNNING", actor, source, scope)]
    assert (source, scope) == ("tickets", desk.workspace_id)
    sql = "SELECT state FROM task_events WHERE req = ? ORDER BY n"
    of_task = looked_up(desk.world.db, sql, f"task:{claim.task.id}")
    assert [state for (state,) in of_task] == ["RECEIVED", "RUNNING", "RUNNING"]


def test_events_of_a_run_are_told_once_for_all_of_a_request(
    desk: Desk, clock: FrozenClock
) -> None:
    ticket = desk.assigned()
    claim = desk.claim(ticket, lease_ttl_ms=TTL_MS)
    before = states(desk, ticket)
    events = [NewEvent(kind="step"), NewEvent(kind="ticket.output", data={"output": 1})]
    holder = hash_token(claim.lease_token)
    desk.world.do.events.append(claim.run.id, events, holder=holder)
    assert states(desk, ticket) == before

    clock.advance(ms=30_000)
    desk.world.do.events.append(claim.run.id, events, holder=holder)
    desk.world.do.events.append(claim.run.id, events, holder=holder)

    assert states(desk, ticket) == [*before, "RUNNING"]


def test_what_an_agent_reports_is_a_sign_of_life_itself(desk: Desk, clock: FrozenClock) -> None:
    ticket = desk.assigned()
    claim = desk.claim(ticket, lease_ttl_ms=TTL_MS)
    before = states(desk, ticket)
    clock.advance(ms=30_000)

    desk.report(claim, "ticket.blocked", reason="r")

    assert states(desk, ticket) == [*before, "BLOCKED"]
    clock.advance(ms=30_000)
    desk.world.heartbeat(claim)
    assert states(desk, ticket) == [*before, "BLOCKED", "BLOCKED"]


def test_without_the_feed_nobody_looks(
    desk: Desk, settings: Settings, clock: FrozenClock
) -> None:
    ticket = desk.assigned()
    claim = desk.claim(ticket, lease_ttl_ms=TTL_MS)
    before = states(desk, ticket)
    off = Settings(db=settings.db, ledger_feed="off", wait_slots=0)
    client = Client(Application(desk.world.db, off, clock))
    token: Json = {"Authorization": f"Bearer {claim.lease_token}"}
    clock.advance(ms=30_000)

    client.post_json(f"/leases/{claim.lease_id}/heartbeat", {}, headers=token, status=200)
    client.post_json(f"/runs/{claim.run.id}/events", {"kind": "x"}, headers=token, status=201)

    assert states(desk, ticket) == before
