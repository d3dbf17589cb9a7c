"""Many at once on one database: threads, each with a connection of its own."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import REVIEW, SIMPLE, Factory
from tests.process.clients import eventually
from tests.worlds import World, refusal
from tickets.db import batch
from tickets.db.repeating import repeated
from tickets.errors import DuplicateName, TicketsError
from tickets.tracker.domain.documents import NewPipeline
from tickets.web.conditions import Condition

THREADS = 16
ROUNDS = 12
PATIENCE_S = 20.0


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def together(crowd: ThreadPoolExecutor, *acts: Callable[[], Any]) -> list[Any]:
    """Begin all acts at one instant; return what each returned, or its refusal's code."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return repeated(act)
        except TicketsError as error:
            return error.code

    return [future.result() for future in [crowd.submit(run, act) for act in acts]]


def test_two_hundred_tasks_are_each_claimed_once(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    ids = world.tasks(world.pipeline(), 200)

    def claim_all(agent: str) -> list[str]:
        claimed: list[str] = []
        while claims := repeated(lambda: world.claims(agent=agent)):
            claimed += [claim.task.id for claim in claims]
        return claimed

    found = together(crowd, *(partial(claim_all, f"a{n}") for n in range(THREADS)))

    assert Counter(itertools.chain(*found)) == Counter(ids)
    world.check()


def test_an_agent_is_not_sent_away_while_there_is_a_task_for_it(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = world.pipeline()
    for _ in range(ROUNDS):
        world.tasks(pipeline_id, THREADS)

        found = together(crowd, *(partial(world.claims, agent=f"a{n}") for n in range(THREADS)))

        assert [len(claims) for claims in found] == [1] * THREADS
    world.check()


def test_an_edge_and_the_end_of_its_target_at_once_are_counted_right(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = world.pipeline()
    for _ in range(ROUNDS):
        target = world.task(pipeline_id)
        claim = world.claim()
        waiting = [world.task(pipeline_id, priority=-1) for _ in range(6)]

        together(
            crowd,
            partial(world.transition, claim),
            *(partial(world.depend, id_, target) for id_ in waiting),
            *[partial(world.task, pipeline_id, dependencies=[target], priority=-1)] * 3,
        )

        world.check()
        assert [world.row(id_)["open_dependency_count"] for id_ in waiting] == [0] * 6


def test_edges_that_close_a_circle_together_do_not_both_come_in(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = world.pipeline()
    for _ in range(ROUNDS):
        one, two, three = world.tasks(pipeline_id, 3)

        found = together(
            crowd,
            partial(world.depend, one, two),
            partial(world.depend, two, three),
            partial(world.depend, three, one),
        )

        assert sorted(map(str, found)) == ["None", "None", "dependency_cycle"]


def test_of_an_end_and_a_cancel_at_once_one_wins(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = world.pipeline()
    for _ in range(ROUNDS):
        task_id = world.task(pipeline_id)
        claim = world.claim()

        moved, cancelled, *_ = together(
            crowd,
            partial(world.transition, claim),
            partial(world.do.dead_letters.cancel, task_id, reason=None),
            partial(world.heartbeat, claim),
            partial(world.event, claim),
        )

        assert (moved is None) != (getattr(cancelled, "status", None) == "cancelled")
        world.check()


def test_of_many_ends_of_one_run_one_wins(world: World, crowd: ThreadPoolExecutor) -> None:
    pipeline_id = world.pipeline()
    for _ in range(ROUNDS):
        world.task(pipeline_id)
        claim = world.claim()

        found = together(
            crowd,
            *[partial(world.transition, claim)] * 3,
            *[partial(world.fail, claim)] * 3,
            *[partial(world.release, claim)] * 3,
        )

        assert found.count(None) == 1
        world.check()
        for each in world.claims(max_tasks=10):
            world.transition(each)


def test_two_claims_at_once_keep_a_limit_of_a_stage(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    world.tasks(world.pipeline(), 40)

    found = together(
        crowd,
        *(partial(world.claims, agent=f"a{n}", per_state={"todo": 5}) for n in range(THREADS)),
    )

    assert sum(map(len, found)) == 5
    world.check()


def test_expired_leases_are_swept_once_by_many(
    world: World, clock: FrozenClock, crowd: ThreadPoolExecutor
) -> None:
    ids = world.tasks(world.pipeline(), 150)
    assert len(world.claims(max_tasks=100)) == 100
    clock.advance(ms=10_000_000)

    together(crowd, *[world.advance] * THREADS)

    world.advance()
    world.check()
    assert [len(world.runs(id_)) for id_ in ids] == [1] * 100 + [0] * 50
    assert {run.status for id_ in ids for run in world.runs(id_)} == {"stale"}
    kinds = Counter(change.kind for change in world.changes())
    assert kinds["lease.expired"] == 100


def test_a_key_of_the_store_has_one_writer_at_a_time(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    for number in range(ROUNDS):
        create = Condition(none_match=frozenset({"*"}))

        found = together(
            crowd,
            *(
                partial(world.do.kv.put, "n", f"k{number}", n, condition=create)
                for n in range(THREADS)
            ),
        )

        assert Counter(map(str, found)) == {"1": 1, "precondition_failed": THREADS - 1}


def test_the_same_key_at_once_is_one_request(
    client: Client, make: Factory, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = make.pipeline()
    body = {"pipeline_id": pipeline_id, "title": "t", "description": "d"}

    for number in range(ROUNDS):
        headers = {"Idempotency-Key": f"key-{number}"}
        create = partial(client.post_json, "/tasks", body, headers=headers)

        answers = together(crowd, *[create] * THREADS)

        assert {answer.status_int for answer in answers} == {201}
        assert len({answer.json["id"] for answer in answers}) == 1
    assert len(client.get("/tasks?limit=1000").json["items"]) == ROUNDS


def test_whatever_comes_at_once_nothing_contradicts_itself(
    world: World, crowd: ThreadPoolExecutor
) -> None:
    pipeline_id = world.pipeline(REVIEW)
    ids = world.tasks(pipeline_id, 12)

    def tried(act: Callable[..., Any], *args: Any, **options: Any) -> None:
        refusal(repeated, partial(act, *args, **options))

    def agent(number: int) -> None:
        triggers = itertools.cycle(["approve", "reject"])
        for step in range(20):
            role = ("coder", "reviewer")[(number + step) % 2]
            for claim in repeated(partial(world.claims, role, f"a{number}")):
                if step % 3:
                    trigger = "submit" if role == "coder" else next(triggers)
                    tried(world.transition, claim, trigger)
                else:
                    tried((world.fail, world.release)[step % 2], claim)

    def meddler() -> None:
        dead = world.do.dead_letters
        for one, two in itertools.permutations(ids[:6], 2):
            tried(world.depend, one, two)
            tried(world.do.dependencies.remove, one, two)
            tried(world.assign, two, "a1")
            tried(dead.cancel, one, reason="x")
            tried(dead.requeue, one, stage=None)

    together(crowd, *(partial(agent, n) for n in range(6)), meddler, meddler)

    world.check()
    ids_seen = [change.id for change in world.changes()]
    assert ids_seen == sorted(set(ids_seen))


@pytest.mark.sqlite
def test_a_pipeline_that_a_refusal_told_of_takes_tasks_before_it_is_committed(
    world: World, crowd: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits for the commit of what a refusal is about, which other writers share.
    monkeypatch.setattr(batch, "BATCH_SECONDS", PATIENCE_S)
    document = NewPipeline(name="n", definition=SIMPLE)
    world.changes()
    in_line = world.file._process.gate._line._places

    def refused() -> str:
        with pytest.raises(DuplicateName) as caught:
            world.do.pipelines.create(document)
        details: Any = caught.value.details
        return world.task(details["id"])

    def last() -> None:
        with world.db.write():
            eventually(lambda: in_line or second.done(), within_s=PATIENCE_S)

    with world.db.write():
        first = crowd.submit(world.do.pipelines.create, document)
        eventually(lambda: len(in_line) == 1)
        second = crowd.submit(refused)
        eventually(lambda: len(in_line) == 2)
        third = crowd.submit(last)
        eventually(lambda: len(in_line) == 3)

    third.result()
    assert world.row(second.result())["pipeline_id"] == first.result().id
