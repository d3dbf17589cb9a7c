"""The write-ahead log: housekeeping, and nobody else, keeps it from growing for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import FrozenClock
from tests.factories import SIMPLE
from tests.faults.histories import history
from tests.faults.recorder import can_record
from tests.faults.steps import Create, Step, Sync, Write
from tests.process.clients import Client, eventually, tickets
from tests.worlds import World
from tickets.config import Settings
from tickets.db.registry import Registry
from tickets.db.sqlite_database import CHECKPOINT_WAL_BYTES, Checkpoint, SqliteDatabase
from tickets.errors import Busy
from tickets.housekeeping import Housekeeping

# A server sees to its own log.
pytestmark = pytest.mark.sqlite

PIECE = bytes(1 << 20)
# Frames, indexes and rows around a piece.
PIECE_BYTES = len(PIECE) * 11 // 10
PATIENCE_S = 30.0  # far beyond anything that works


@pytest.fixture
def keeper(world: World, clock: FrozenClock, settings: Settings) -> Housekeeping:
    return Housekeeping(world.db, clock, world.do.readiness, settings)


def write(world: World, pieces: int = 1) -> None:
    for _ in range(pieces):
        world.do.traces.accept_other(PIECE, content_type="text/plain")


@contextmanager
def reading(db: SqliteDatabase) -> Iterator[None]:
    """Let another thread hold a view of the database."""
    is_reading, may_go = threading.Event(), threading.Event()

    def read() -> None:
        with db.read() as tx:
            tx.one("changes.extent")
            is_reading.set()
            assert may_go.wait(PATIENCE_S)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert is_reading.wait(PATIENCE_S)
        yield
    finally:
        may_go.set()
        thread.join()


def test_a_log_does_not_outgrow_its_limit_by_more_than_one_period(
    world: World, keeper: Housekeeping
) -> None:
    sizes = []
    for _ in range(5 * CHECKPOINT_WAL_BYTES // len(PIECE)):
        write(world)
        sizes.append(world.file.wal_bytes())
        keeper.tend()

    assert max(sizes) <= CHECKPOINT_WAL_BYTES + PIECE_BYTES


def test_a_log_that_began_anew_is_left_alone_until_it_has_grown_again(
    world: World, keeper: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Checkpoint] = []
    really_checkpoint = SqliteDatabase.checkpoint

    def checkpoint(db: SqliteDatabase) -> Checkpoint:
        done.append(really_checkpoint(db))
        return done[-1]

    monkeypatch.setattr(SqliteDatabase, "checkpoint", checkpoint)
    write(world, CHECKPOINT_WAL_BYTES // len(PIECE) + 1)
    keeper.tend()
    for _ in range(20):
        world.pipeline()
        keeper.tend()

    assert len(done) == 1
    assert done[0].complete


def test_a_log_that_grew_behind_a_long_reader_shrinks_when_the_reader_has_gone(
    world: World, keeper: Housekeeping
) -> None:
    with reading(world.file):
        for _ in range(3 * CHECKPOINT_WAL_BYTES // len(PIECE)):
            write(world)
            keeper.tend()
        grown = world.file.wal_bytes()
    keeper.tend()
    world.pipeline()

    assert grown > 3 * CHECKPOINT_WAL_BYTES
    assert world.file.wal_bytes() <= CHECKPOINT_WAL_BYTES
    assert world.db.integrity_check() == []


def test_a_checkpoint_waits_for_the_gate(
    world: World,
    clock: FrozenClock,
    settings: Settings,
    registry: Registry,
) -> None:
    write(world, CHECKPOINT_WAL_BYTES // len(PIECE) + 1)
    hasty = SqliteDatabase(world.file.path, registry=registry, busy_timeout_ms=20)
    keeper = Housekeeping(hasty, clock, world.do.readiness, settings)
    before = Path(world.file.path).stat().st_mtime_ns

    with world.db.write(), pytest.raises(Busy):
        keeper.tend()

    assert Path(world.file.path).stat().st_mtime_ns == before
    keeper.tend()
    assert Path(world.file.path).stat().st_mtime_ns > before
    hasty.close()


@pytest.mark.skipif(not can_record(), reason="Python has SQLite built in")
def test_only_housekeeping_moves_the_log_into_the_database(tmp_path: Path) -> None:
    with history(tmp_path, "full") as made:
        # By itself SQLite would do it after a thousand pages.
        write(made.world, 8)
        written = made.steps[made.begun :]
        made.housekeeping.tend()
        moved = made.steps[made.begun + len(written) :]

    assert changes_of_database(made.steps, written) == 0
    assert changes_of_database(made.steps, moved) > 0


def changes_of_database(steps: list[Step], some: list[Step]) -> int:
    """Count what was done to the database file itself in some of the steps."""
    files = {
        step.file for step in steps if isinstance(step, Create) and step.name.endswith(".db")
    }
    return sum(isinstance(step, Write | Sync) and step.file in files for step in some)


def test_a_service_keeps_its_log_small_by_itself(tmp_path: Path) -> None:
    database, log = tmp_path / "t.db", tmp_path / "t.db-wal"
    rounds, pieces = 6, 6
    with tickets(tmp_path, "--workers", "2") as server, Client(server) as client:
        client.pipeline(SIMPLE)
        before = database.stat().st_size
        for number in range(1, rounds + 1):
            for _ in range(pieces):
                client.post("/v1/traces", {"resourceSpans": [], "x": "x" * len(PIECE)})
            # All but what a log may hold comes into the database; nobody was stopped.
            moved = number * pieces * len(PIECE) - CHECKPOINT_WAL_BYTES - PIECE_BYTES
            eventually(lambda: database.stat().st_size >= before + moved)  # noqa: B023  # at once

        assert log.stat().st_size < rounds * pieces * len(PIECE) / 2
        assert server.stop() == 0
