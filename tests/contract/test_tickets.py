"""Tickets are written in one place."""

from __future__ import annotations

import re
import sqlite3
import traceback
from pathlib import Path

import pytest

import tickets
from tests.tickets import TicketPlace
from tests.worlds import World
from tickets.db.registry import Registry, sql_root
from tickets.lifecycle.operations import workflow

PACKAGE = Path(tickets.__file__).parent

_WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+tickets\b")


def test_two_statements_write_tickets() -> None:
    found = {
        statement.name
        for dialect in ("sqlite", "postgres")
        for statement in Registry.load(sql_root(), dialect)
        if _WRITES.search(statement.sql)
    }

    assert found == {"tickets.create", "tickets.update"}


def test_one_module_calls_them() -> None:
    callers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r'"tickets\.(create|update)"', path.read_text(encoding="utf-8"))
    }

    assert callers == {"lifecycle/operations/workflow.py"}


@pytest.mark.sqlite
def test_every_write_to_a_ticket_comes_through_the_workflow(world: World) -> None:
    place = TicketPlace(world.lifecycle)
    stacks: list[set[str]] = []

    def watch(action: int, table: str | None, *_: object) -> int:
        is_write = action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE)
        if is_write and table == "tickets":
            stacks.append({frame.filename for frame in traceback.extract_stack()})
        return sqlite3.SQLITE_OK

    with world.db.write() as tx, tx.raw() as connection:
        connection.set_authorizer(watch)
    # The authorizer is asked when a statement is prepared, and that is once for each.
    place.ids()

    assert stacks
    assert all(workflow.__file__ in stack for stack in stacks)
