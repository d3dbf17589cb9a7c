"""What only PostgreSQL does: many writers at once, and what keeps them apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.process.clients import eventually
from tests.worlds import World, blocked_connections, looked_up, refusal
from tickets.db.database import Database
from tickets.tracker.domain.documents import ChangesQuery

pytestmark = pytest.mark.postgres

PATIENCE_S = 20.0


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Return a function that runs a callable in another thread and waits for it."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda act: pool.submit(act).result(PATIENCE_S)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def until_blocked(world: World) -> None:
    """Return once a connection to this database waits for a lock."""
    eventually(lambda: blocked_connections(world.db), within_s=PATIENCE_S)


class TestFeed:
    def test_a_reader_stops_before_a_change_that_may_still_come(
        self, world: World, db: Database, beside: Callable[..., Any]
    ) -> None:
        pipeline_id = world.pipeline()
        world.task(pipeline_id)
        before = world.do.changes.list_after(ChangesQuery()).next_cursor

        with db.write() as tx:
            # Draws the next id, and is not committed when the one after that is.
            tx.run(
                "changes.append",
                now_ms=1,
                kind="task.created",
                task_id="slow",
                run_id=None,
                data_json="{}",
            )
            beside(lambda: world.task(pipeline_id))
            meanwhile = beside(lambda: world.do.changes.list_after(ChangesQuery(after=before)))

        assert meanwhile.items == []
        assert meanwhile.next_cursor == before
        after = world.do.changes.list_after(ChangesQuery(after=meanwhile.next_cursor))
        assert [change.task_id == "slow" for change in after.items] == [True, False]

    def test_who_follows_the_feed_misses_nothing(self, world: World) -> None:
        pipeline_id = world.pipeline()
        is_over = threading.Event()
        seen: list[int] = []

        def follow() -> None:
            cursor = "0"
            while True:
                last = is_over.is_set()
                part = world.do.changes.list_after(ChangesQuery(after=cursor, limit=1000))
                seen.extend(change.id for change in part.items)
                cursor = part.next_cursor
                if last and not part.items:
                    return

        with ThreadPoolExecutor(10) as pool:
            follower = pool.submit(follow)
            writers = [
                pool.submit(lambda: [world.task(pipeline_id) for _ in range(40)])
                for _ in range(8)
            ]
            for writer in writers:
                writer.result(PATIENCE_S)
            is_over.set()
            follower.result(PATIENCE_S)

        ids = [row[0] for row in looked_up(world.db, "SELECT id FROM changes ORDER BY id")]
        assert seen == ids

    def test_an_id_that_was_rolled_back_holds_nobody_up(
        self, world: World, db: Database
    ) -> None:
        pipeline_id = world.pipeline()
        with pytest.raises(KeyError):
            lose(db, lambda: world.task(pipeline_id))
        task_id = world.task(pipeline_id)

        assert world.changes()[-1].task_id == task_id


class TestLocks:
    def test_a_claim_waits_for_a_task_that_another_may_not_take_in_the_end(
        self, world: World, pool: ThreadPoolExecutor
    ) -> None:
        task_id = world.task(world.pipeline())

        with world.db.write() as tx:
            tx.many("tasks.next_claimable", agent_role="coder", agent_id="a1", limit=1)
            waiting = pool.submit(world.claims, agent="a2")
            until_blocked(world)

        assert [claim.task.id for claim in waiting.result(PATIENCE_S)] == [task_id]

    def test_nothing_is_added_to_a_run_whose_end_is_not_committed_yet(
        self, world: World, pool: ThreadPoolExecutor
    ) -> None:
        world.task(world.pipeline())
        claim = world.claim()

        with world.db.write():
            world.transition(claim)
            late = pool.submit(refusal, world.event, claim)
            until_blocked(world)

        assert late.result(PATIENCE_S) == "not_found"

    def test_claims_pass_over_what_others_hold(
        self, world: World, pool: ThreadPoolExecutor
    ) -> None:
        first, second = world.tasks(world.pipeline(), 2)

        with world.db.write():
            assert world.claim().task.id == first
            other = pool.submit(world.claim, agent="a2").result(PATIENCE_S)

        assert other.task.id == second

    @pytest.mark.parametrize("per_state", [None, {"todo": 5}])
    def test_what_comes_while_a_claim_waits_in_vain_is_found(
        self,
        world: World,
        pool: ThreadPoolExecutor,
        beside: Callable[[Callable[[], Any]], Any],
        per_state: dict[str, int | None] | None,
    ) -> None:
        pipeline_id = world.pipeline()
        first = world.task(pipeline_id)

        with world.db.write() as tx:
            tx.one("tasks.take", seq=world.row(first)["seq"])
            other = pool.submit(world.claim, agent="a2", per_state=per_state)
            until_blocked(world)
            late = beside(lambda: world.task(pipeline_id))

        assert other.result(PATIENCE_S).task.id == late


class TestCounts:
    def test_folding_changes_no_count(self, world: World) -> None:
        pipeline_id = world.pipeline()
        world.finish(pipeline_id)
        world.tasks(pipeline_id, 3)
        world.claim()
        counted = world.queue_counted()
        assert looked_up(world.db, "SELECT COUNT(*) FROM task_count_deltas") != [(0,)]

        with world.db.write() as tx:
            tx.run("tasks.fold_counts")

        assert looked_up(world.db, "SELECT COUNT(*) FROM task_count_deltas") == [(0,)]
        assert world.queue_counted() == counted
        world.claim()
        world.check()

    def test_folds_and_writes_at_once_lose_no_count(self, world: World) -> None:
        pipeline_id = world.pipeline()

        def fold() -> None:
            for _ in range(30):
                with world.db.write() as tx:
                    tx.run("tasks.fold_counts")

        def create() -> None:
            for _ in range(30):
                world.task(pipeline_id)

        with ThreadPoolExecutor(6) as pool:
            acts = [pool.submit(fold) for _ in range(2)]
            acts += [pool.submit(create) for _ in range(4)]
            for act in acts:
                act.result(PATIENCE_S)

        world.check()
        assert world.queue_counted()[0]["claimable_count"] == 120


def lose(db: Database, act: Callable[[], Any]) -> None:
    """Do something in a transaction that is undone."""
    with db.write():
        act()
        raise KeyError
