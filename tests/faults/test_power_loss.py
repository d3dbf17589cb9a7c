"""Power cuts: an answered write outlasts them, and no cut damages a database.

The service's own database works while all that SQLite does to its files is recorded; then the
recording is cut at many steps, each time with some other part of what was not flushed, and the
service is started on what is left.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.factories import EPOCH_MS
from tests.faults.cuts import Past, recovered
from tests.faults.disks import Disk
from tests.faults.histories import History, history
from tests.faults.recorder import can_record
from tests.faults.workloads import work_alone, work_together
from tests.worlds import World
from tickets.db import sqlite
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.db.sqlite import Durability

SEED = seed(11)
ACTS = rounds(100, drill=160)
AGENTS = 6
ACTS_OF_EACH = rounds(20, drill=30)
CUTS = rounds(150, drill=1_000)
# Where losing is allowed, more than a third of the cuts lose something.
CUTS_THAT_LOSE = rounds(50, drill=500)
CUTS_OF_A_START = rounds(60, drill=600)

# What a server does to its files is its own affair.
pytestmark = [
    pytest.mark.drill,
    pytest.mark.sqlite,
    pytest.mark.skipif(not can_record(), reason="Python has SQLite built in"),
]

Work = Callable[[History], None]


def alone(made: History) -> None:
    work_alone(made, seed=SEED, acts=ACTS)


def together(made: History) -> None:
    work_together(made, seed=SEED, agents=AGENTS, acts=ACTS_OF_EACH)


WORK = pytest.mark.parametrize("work", [alone, together])


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a folder for the database at work, and no other one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def worked(work: Work, folder: Path, durability: Durability, scratch: Path) -> Past:
    with history(folder, durability) as made:
        work(made)
    return Past(made, scratch)


@WORK
def test_an_answered_write_outlasts_every_power_cut(
    work: Work, disk: Path, tmp_path: Path, chance: random.Random
) -> None:
    past = worked(work, disk, "full", tmp_path / "after")

    for cut, found in past.cut(past.moments(CUTS, chance)):
        assert found.damage == "", cut
        assert found.commit >= found.least, f"answered, and lost: {cut}"

    if work is together:
        assert past.commits < past.answers, "nobody shared a commit"


# The simulation has teeth: it shows what is lost where losing was allowed.
@WORK
def test_with_less_durability_answered_writes_are_lost_and_nothing_is_damaged(
    work: Work, disk: Path, tmp_path: Path, chance: random.Random
) -> None:
    past = worked(work, disk, "normal", tmp_path / "after")

    results = [found for _, found in past.cut(past.moments(CUTS_THAT_LOSE, chance))]

    assert {found.damage for found in results} == {""}
    assert any(found.commit < found.least for found in results)


# And it finds damage where nothing is flushed at all, so it would find it elsewhere.
def test_without_any_flush_databases_are_damaged(
    disk: Path, tmp_path: Path, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsafe = (*sqlite._WRITER_PRAGMAS, "PRAGMA synchronous = OFF")
    monkeypatch.setattr(sqlite, "_WRITER_PRAGMAS", unsafe)
    past = worked(alone, disk, "normal", tmp_path / "after")

    assert any(found.damage for _, found in past.cut(past.moments(CUTS_THAT_LOSE, chance)))


def test_a_first_start_that_is_cut_off_is_made_good_by_the_next(
    disk: Path, tmp_path: Path, chance: random.Random
) -> None:
    with history(disk, "full") as made:
        steps = made.steps[: made.begun]
        schema = schema_of(made.world)

    for number in range(CUTS_OF_A_START):
        cut = chance.randint(0, len(steps))
        played = Disk()
        for step in steps[:cut]:
            played.play(step)
        with recovered(played.after_cut(chance), tmp_path / "after", chance) as world:
            migrate(world.db, sql_root(), EPOCH_MS)

            assert world.db.integrity_check() == [], (number, cut)
            assert schema_of(world) == schema, (number, cut)
            world.finish(world.pipeline())
            world.check()


def schema_of(world: World) -> list[str]:
    with world.db.read() as tx, tx.raw() as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")
        return [repr(row) for row in rows]
