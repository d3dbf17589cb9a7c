"""What is read to show tickets."""

from __future__ import annotations

from typing import Any

from tests.counted import Counted
from tests.dispatching import Desk
from tests.worlds import World
from tickets.lifecycle.operations import rows


def test_many_tickets_take_as_many_statements_as_one(world: World) -> None:
    desk = Desk(world)
    blocker = desk.ticket()
    given = [desk.assigned() for _ in range(3)]
    for ticket in given[:2]:
        desk.link(blocker, "blocks", ticket)
    counts = set()
    with world.db.read() as tx:
        states = [rows.found_ticket(tx, desk.workspace_id, each.id) for each in given]
        for shown in (states, states[:1]):
            counted: Any = Counted(tx)
            found = rows.tickets(counted, shown)
            counts.add(counted.count)
            assert [each.id for each in found] == [each.id for each in shown]
            assert [each.blocked_by for each in found] == [[blocker.id], [blocker.id], []][
                : len(shown)
            ]
            assert {each.dispatch.state for each in found} == {"queued"}

    assert counts == {2}
