"""Operations of which a statement fails, each in turn: nothing is left, all can be repeated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests import databases
from tests.conftest import FrozenClock
from tests.drills import IS_DRILL
from tests.factories import EPOCH_MS
from tests.faults.failing import (
    FAILURES,
    LOST,
    OURS,
    Failure,
    Plan,
    failing,
    outcome,
    writer_of,
)
from tests.faults.managed_writes import PREPARED
from tests.faults.states import digest
from tests.faults.writes import Place
from tests.worlds import World
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.tracker import operations

KINDS = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
IS_SERVER = databases.Kind.chosen == databases.POSTGRES
# A server undoes by itself what failed; that we undo our own mistakes there is for long runs.
OF_SERVER = [each for each in (*FAILURES, LOST) if each is not OURS]
LONG = [pytest.param(OURS, marks=pytest.mark.drill)] if IS_DRILL else []
ALL_KINDS = pytest.mark.parametrize(
    "failure", [*OF_SERVER, *LONG] if IS_SERVER else FAILURES, ids=lambda failure: failure.name
)
NEVER = 1 << 30
# What another tracker left out, or what was pruned, is missing afterwards.
INCOMPLETE = ("imports.import_file", "retention.prune_changes")


@pytest.fixture
def plan() -> Iterator[Plan]:
    with failing() as made:
        yield made


@pytest.fixture
def at(plan: Plan, world: World, clock: FrozenClock, tmp_path: Path) -> Place:
    return Place(world, clock, tmp_path)


def is_begin(sql: str) -> bool:
    return sql.startswith("BEGIN")


def test_every_operation_that_writes_is_here() -> None:
    # Expiries and retries that are due are done by a claim, or by the housekeeping.
    assert PREPARED.keys() == {*names_of_writes(), "housekeeping.advance_readiness"}


@ALL_KINDS
@pytest.mark.parametrize("name", PREPARED)
def test_an_operation_of_which_a_statement_fails_leaves_nothing_and_can_be_repeated(
    name: str, failure: Failure, at: Place, plan: Plan
) -> None:
    db = at.world.db
    work = PREPARED[name](at)
    before = digest(db)

    number = 2  # the first is BEGIN
    while (failed := outcome(db, plan, work, number, failure)) is not None:
        assert digest(db) == before, (number, failed)
        number += 1

    # With as many statements as there are, it succeeded.
    assert is_begin(plan.statements[0])
    assert plan.statements[-1] == "COMMIT"
    assert len(plan.statements) == number - 1 > 2
    assert digest(db) != before
    if name not in INCOMPLETE:
        at.world.check()
    assert db.integrity_check() == []


@KINDS
def test_a_begin_that_fails_is_told_at_once_and_later_writes_go_on(
    failure: Failure, at: Place, plan: Plan
) -> None:
    db = at.world.db
    before = digest(db)
    plan.when(lambda _, sql: is_begin(sql), replace(failure, lasts=True))

    with pytest.raises(failure.told), db.write(patience_ms=1_000):
        raise AssertionError("nothing was begun")

    assert is_begin(plan.stop() or "")
    assert sum(map(is_begin, plan.statements)) == 1
    assert digest(db) == before
    at.world.pipeline()
    assert digest(db) != before


@pytest.mark.parametrize(
    "failure", [LOST] if IS_SERVER else FAILURES, ids=lambda failure: failure.name
)
def test_a_first_start_of_which_a_statement_fails_is_made_good_by_the_next(
    failure: Failure, plan: Plan, tmp_path: Path
) -> None:
    def started(number: int) -> tuple[str, str | None]:
        """Migrate twice, first with a failing statement; return what came of it."""
        with databases.empty_database(tmp_path / f"{number}.db") as db:
            writer_of(db)
            plan.at(number, failure)
            with suppress(failure.told):
                migrate(db, sql_root(), EPOCH_MS)
            failed = plan.stop()
            assert db.integrity_check() == []
            migrate(db, sql_root(), EPOCH_MS)
            return digest(db), failed

    whole, _ = started(NEVER)
    number = 1
    while (result := started(number))[1] is not None:
        assert result[0] == whole, result[1]
        number += 1

    assert number > 10


def names_of_writes() -> Iterator[str]:
    """Yield ``<module>.<method>`` of every public method of an operations class that writes.

    That is one with a ``.write(`` in it, or in a method of its class that it calls.
    """
    for path in sorted(Path(operations.__path__[0]).glob("*.py")):
        for part in ast.parse(path.read_text()).body:
            if isinstance(part, ast.ClassDef) and part.name.endswith("Operations"):
                yield from (f"{path.stem}.{name}" for name in _writing_methods(part))


def _writing_methods(part: ast.ClassDef) -> Iterator[str]:
    called = {
        method.name: {
            node.func.attr
            for node in ast.walk(method)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        for method in part.body
        if isinstance(method, ast.FunctionDef)
    }
    writing = {"write"}
    while more := {name for name in called if called[name] & writing} - writing:
        writing |= more
    yield from (name for name in called if name in writing and not name.startswith("_"))
