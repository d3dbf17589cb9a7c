"""Whether a ticket is blocked, which is asked often, and by which others, which is shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.lifecycle.domain.documents import NewLink
from tickets.lifecycle.operations import rows


@pytest.fixture
def place(world: World) -> TicketPlace:
    return TicketPlace(world.lifecycle)


class OneAtATime:
    """A transaction that finds single values and no lists."""

    def __init__(self, tx: Any) -> None:
        self.value = tx.value


def test_among_many_blockers_one_that_is_open_is_enough(
    world: World, place: TicketPlace
) -> None:
    target = place.ticket()
    for is_over in (True, False, True):
        blocker = place.ticket()
        place.link(blocker, "blocks", target)
        if is_over:
            place.move(blocker, "cancelled")

    with world.db.read() as tx:
        assert rows.is_blocked(OneAtATime(tx), target.id)  # type: ignore[arg-type]  # all that may be wanted


@pytest.mark.parametrize("duplicated", ["open", "started", "done", "cancelled"])
@pytest.mark.parametrize("has_other", [True, False])
def test_both_answers_are_the_same(
    world: World, place: TicketPlace, duplicated: str, *, has_other: bool
) -> None:
    target, blocker, same = place.ticket(), place.ticket(), place.ticket()
    place.link(blocker, "blocks", target)
    document = NewLink(type="duplicateOf", target_ticket_id=same.id, close_duplicate=True)
    place.do.links.add(place.scope, blocker.id, document)
    if duplicated in ("started", "done"):
        place.start(same)
    if duplicated in ("done", "cancelled"):
        place.move(same, duplicated)
    if has_other:
        place.link(place.ticket(), "blocks", target)

    with world.db.read() as tx:
        found = rows.blockers_of(tx, target.id)
        assert rows.is_blocked(tx, target.id) == bool(found)
    assert bool(found) == (has_other or duplicated in ("open", "started"))
