"""The feed of tickets hands out no cursor behind which an event may still appear."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.lifecycle.domain.documents import FeedQuery
from tickets.lifecycle.domain.records import Feed

PATIENCE_S = 30


def read(place: TicketPlace, after: str) -> Feed:
    return place.do.events.feed(place.scope, FeedQuery(after_id=after, limit=1000))


@contextmanager
def unfinished(world: World, place: TicketPlace) -> Iterator[None]:
    """Hold a transaction open that has told of a new ticket."""
    told, finish = threading.Event(), threading.Event()

    def work() -> None:
        with world.db.write():
            place.ticket("slow")
            told.set()
            assert finish.wait(PATIENCE_S)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert told.wait(PATIENCE_S)
        yield
    finally:
        finish.set()
        thread.join(PATIENCE_S)


# One writer at a time has nothing to be held up by.
@pytest.mark.postgres
def test_an_event_that_is_not_committed_holds_up_those_with_later_ids(world: World) -> None:
    place = TicketPlace(world.lifecycle)
    first = place.ticket("first")

    with unfinished(world, place):
        place.ticket("fast")
        part = read(place, "0")
        assert [event.ticket_id for event in part.items] == [first.id]
        assert read(place, part.next_cursor).items == []

    rest = read(place, part.next_cursor)
    assert len(rest.items) == 2
    assert [event.id for event in rest.items] == sorted(event.id for event in rest.items)


@pytest.mark.postgres
def test_changes_of_tasks_do_not_hold_up_the_feed_of_tickets(world: World) -> None:
    place = TicketPlace(world.lifecycle)
    told, finish = threading.Event(), threading.Event()

    def work() -> None:
        with world.db.write():
            world.pipeline()
            told.set()
            assert finish.wait(PATIENCE_S)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert told.wait(PATIENCE_S)
        ticket = place.ticket()
        assert [event.ticket_id for event in read(place, "0").items] == [ticket.id]
    finally:
        finish.set()
        thread.join(PATIENCE_S)


def test_events_never_change(world: World) -> None:
    place = TicketPlace(world.lifecycle)
    place.ticket()

    for sql in ("UPDATE ticket_events SET type = 'x'", "DELETE FROM ticket_events"):
        told = pytest.raises(Exception, match="events")
        with told, world.db.write() as tx, tx.raw() as connection:
            connection.execute(sql)
    assert len(read(place, "0").items) == 1


def test_a_workspace_is_followed_without_the_others(world: World) -> None:
    place, other = TicketPlace(world.lifecycle), TicketPlace(world.lifecycle)
    other.ticket()

    part = read(place, "0")

    assert part.items == []
    assert int(part.next_cursor) >= 1
    mine = place.ticket()
    assert [event.ticket_id for event in read(place, part.next_cursor).items] == [mine.id]
