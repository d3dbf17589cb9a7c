"""Long polls over process boundaries: who waits is woken by whatever any process does."""

from __future__ import annotations

import itertools
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.factories import Json
from tests.process.clients import Client, Open, tickets
from tests.process.serving import Server

WAIT_MS = 20_000
# Far less than any wait here, far more than a wake-up takes on a busy machine.
PROMPT_S = 1.0
SOON_MS = 400
STOP_S = 5.0


@dataclass
class Pair:
    """Two servers of one process each on one database: agents wait here and work there."""

    waiting: Server
    working: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home: Path = tmp_path_factory.mktemp("pair")
    with (
        tickets(home, "--workers", "1") as waiting,
        tickets(home, "--workers", "1") as working,
    ):
        yield Pair(waiting, working)
        assert (waiting.stop(), working.stop()) == (0, 0)


_numbers = itertools.count()


class World:
    """A pipeline of its own, with roles of its own, and an agent that works in it."""

    def __init__(self, client: Client) -> None:
        name = f"w{next(_numbers)}"
        self.client = client
        self.maker, self.checker = f"{name}-maker", f"{name}-checker"
        definition = {
            "initial": "make",
            "states": {
                "make": {"agent_role": self.maker},
                "check": {"agent_role": self.checker},
                "done": {"terminal": True},
            },
            "transitions": [
                {"from": "make", "to": "check", "trigger": "submit"},
                {"from": "make", "to": "done", "trigger": "finish"},
                {"from": "check", "to": "done", "trigger": "approve"},
            ],
        }
        self.pipeline_id = client.pipeline(definition, name)

    def task(self, **fields: Any) -> str:
        return self.client.task(self.pipeline_id, **fields)

    def claim(self, **fields: object) -> Json:
        return self.client.claim(self.maker, "other", **fields)

    def waits(self, server: Server, role: str, agent: str = "me") -> Open:
        body = {"agent_id": agent, "agent_role": role, "wait_ms": WAIT_MS}
        return Open(server, "POST", "/leases/claim", body)


@pytest.fixture
def world(pair: Pair) -> Iterator[World]:
    with Client(pair.working) as client:
        yield World(client)


@dataclass
class Scene:
    """What stands ready while somebody waits, and what then makes a task claimable.

    ``act`` returns the task, and the moment (in ms) from which it can be had, 0 for at once.
    """

    role: str
    act: Callable[[], tuple[str, int]]


def created(world: World) -> Scene:
    return Scene(world.maker, lambda: (world.task(), 0))


def created_in_bulk(world: World) -> Scene:
    task = {"pipeline_id": world.pipeline_id, "title": "t", "description": ""}

    def act() -> tuple[str, int]:
        answer = world.client.post("/tasks/bulk", {"tasks": [task]}, status=201)
        return answer["ids"][0], 0

    return Scene(world.maker, act)


def moved_into_the_stage(world: World) -> Scene:
    task_id, claim = world.task(), world.claim()

    def act() -> tuple[str, int]:
        world.client.on_run(claim, "transition", {"trigger": "submit"})
        return task_id, 0

    return Scene(world.checker, act)


def released(world: World) -> Scene:
    task_id, claim = world.task(), world.claim()

    def act() -> tuple[str, int]:
        world.client.on_run(claim, "release", {})
        return task_id, 0

    return Scene(world.maker, act)


def retry_is_due(world: World) -> Scene:
    task_id = world.task(retry_policy={"retry_delay_ms": SOON_MS})
    claim = world.claim()

    def act() -> tuple[str, int]:
        world.client.on_run(claim, "fail", {"error": "broken"})
        return task_id, world.client.get(f"/tasks/{task_id}")["next_eligible_at_ms"]

    return Scene(world.maker, act)


def lease_expires(world: World) -> Scene:
    task_id = world.task()
    claim = world.claim(lease_ttl_ms=SOON_MS)
    return Scene(world.maker, lambda: (task_id, claim["expires_at_ms"]))


def dependency_resolves(world: World) -> Scene:
    first = world.task()
    claim = world.claim()
    second = world.task(dependencies=[first])

    def act() -> tuple[str, int]:
        world.client.on_run(claim, "transition", {"trigger": "finish"})
        return second, 0

    return Scene(world.maker, act)


def dependency_is_removed(world: World) -> Scene:
    first = world.task(assigned_agent_id="nobody")
    second = world.task(dependencies=[first])

    def act() -> tuple[str, int]:
        world.client.delete(f"/tasks/{second}/dependencies/{first}")
        return second, 0

    return Scene(world.maker, act)


def assignment_ends(world: World) -> Scene:
    task_id = world.task(assigned_agent_id="other")

    def act() -> tuple[str, int]:
        world.client.delete(f"/tasks/{task_id}/assignments/other")
        return task_id, 0

    return Scene(world.maker, act)


def assigned_to_the_waiting_agent(world: World) -> Scene:
    task_id = world.task(assigned_agent_id="other")

    def act() -> tuple[str, int]:
        world.client.post(f"/tasks/{task_id}/assignments", {"agent_id": "me"}, status=201)
        return task_id, 0

    return Scene(world.maker, act)


def requeued(world: World) -> Scene:
    task_id = world.task()
    world.client.post(f"/tasks/{task_id}/cancel")

    def act() -> tuple[str, int]:
        world.client.post(f"/tasks/{task_id}/requeue", {})
        return task_id, 0

    return Scene(world.maker, act)


SCENES = [
    created,
    created_in_bulk,
    moved_into_the_stage,
    released,
    retry_is_due,
    lease_expires,
    dependency_resolves,
    dependency_is_removed,
    assignment_ends,
    assigned_to_the_waiting_agent,
    requeued,
]


@pytest.mark.parametrize("scene", SCENES)
def test_a_waiting_agent_is_served_when_a_task_is(
    pair: Pair, world: World, scene: Callable[[World], Scene]
) -> None:
    ready = scene(world)
    wait = world.waits(pair.waiting, ready.role)
    let_it_begin(pair.waiting)

    began_ms = now_ms()
    task_id, possible_from_ms = ready.act()
    answer = wait.answer()
    late_ms = now_ms() - max(possible_from_ms, began_ms)

    assert answer.status == 200, answer
    assert answer.json["task"]["id"] == task_id
    assert 0 <= late_ms < PROMPT_S * 1000


def test_each_of_many_waiting_agents_gets_one_task(pair: Pair, world: World) -> None:
    waits = [world.waits(pair.waiting, world.maker, f"agent-{n}") for n in range(20)]
    let_it_begin(pair.waiting)

    began = time.monotonic()
    ids = [world.task() for _ in waits]
    answers = [wait.answer() for wait in waits]
    took_s = time.monotonic() - began

    assert sorted(answer.json["task"]["id"] for answer in answers) == sorted(ids)
    assert took_s < PROMPT_S + 0.1 * len(waits)


def test_an_agent_that_went_away_while_it_waited_takes_no_task(
    pair: Pair, world: World
) -> None:
    gone = [world.waits(pair.waiting, world.maker, f"gone-{n}") for n in range(3)]
    let_it_begin(pair.waiting)
    next_in_line = world.waits(pair.waiting, world.maker)
    let_it_begin(pair.waiting)
    for wait in gone:
        wait.socket.close()

    began = time.monotonic()
    task_id = world.task()
    answer = next_in_line.answer()
    took_s = time.monotonic() - began

    assert answer.json["task"]["id"] == task_id
    assert answer.json["run"]["attempt"] == 1
    assert took_s < PROMPT_S


def test_a_wait_without_a_task_ends_in_time_and_empty(pair: Pair, world: World) -> None:
    # Something happens meanwhile, and this agent has no part in it.
    body = {"agent_id": "me", "agent_role": world.checker, "wait_ms": SOON_MS}
    began = time.monotonic()
    wait = Open(pair.waiting, "POST", "/leases/claim", body)
    let_it_begin(pair.waiting)
    world.task()

    answer = wait.answer()
    took_s = time.monotonic() - began

    assert (answer.status, answer.body) == (204, b"")
    assert SOON_MS / 1000 <= took_s < SOON_MS / 1000 + PROMPT_S


def test_a_follower_of_the_feed_is_woken(pair: Pair, world: World) -> None:
    cursor = ""
    while (page := world.client.get(f"/changes?limit=1000{cursor}"))["items"]:
        cursor = f"&after={page['next_cursor']}"
    waits = [Open(pair.waiting, "GET", f"/changes?wait_ms={WAIT_MS}{cursor}") for _ in range(3)]
    let_it_begin(pair.waiting)

    began = time.monotonic()
    task_id = world.task()
    answers = [wait.answer() for wait in waits]
    took_s = time.monotonic() - began

    for answer in answers:
        (change,) = answer.json["items"]
        assert (change["kind"], change["task_id"]) == ("task.created", task_id)
    assert took_s < PROMPT_S


def test_stopping_answers_everybody_who_waits(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "2") as server:
        with Client(server) as client:
            world = World(client)
        cursor = "1"
        claims = [world.waits(server, world.maker, f"a{n}") for n in range(8)]
        feeds = [
            Open(server, "GET", f"/changes?wait_ms={WAIT_MS}&after={cursor}") for _ in range(4)
        ]
        let_it_begin(server)

        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = [wait.answer() for wait in (*claims, *feeds)]
        status = server.process.wait(STOP_S)
        took_s = time.monotonic() - began

    assert [answer.status for answer in answers] == [204] * len(claims) + [200] * len(feeds)
    assert all(answer.json["items"] == [] for answer in answers[len(claims) :])
    assert {answer.headers["connection"] for answer in answers} == {"close"}
    assert status == 0
    assert took_s < STOP_S


def test_more_agents_than_places_are_answered_early_and_hold_up_nobody(tmp_path: Path) -> None:
    threads, places = 8, 6
    flags = ("--workers", "1", "--threads", str(threads))
    with tickets(tmp_path, *flags) as server, Client(server) as client:
        world = World(client)
        waits = [world.waits(server, world.maker, f"a{n}") for n in range(3 * threads)]

        early = answered(waits, len(waits) - places)

        assert {wait.answer().status for wait in early} == {204}
        left = [wait for wait in waits if wait not in early]
        began = time.monotonic()
        ids = [world.task() for _ in left]
        answers = [wait.answer() for wait in left]
        took_s = time.monotonic() - began
        assert sorted(answer.json["task"]["id"] for answer in answers) == sorted(ids)
        assert took_s < PROMPT_S
        assert server.stop() == 0


def answered(waits: list[Open], count: int) -> list[Open]:
    """Return those that are answered within a moment, which must be so many."""
    with selectors.DefaultSelector() as selector:
        for wait in waits:
            selector.register(wait.socket, selectors.EVENT_READ, wait)
        deadline = time.monotonic() + PROMPT_S
        found: list[Open] = []
        while (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                found.append(key.data)
                selector.unregister(key.fileobj)
    assert len(found) == count
    return found


def let_it_begin(server: Server) -> None:
    """Return when requests sent before are being handled: later ones were answered."""
    with Client(server) as client:
        for _ in range(20):
            client.get("/health")


def now_ms() -> int:
    return time.time_ns() // 1_000_000
