"""Backups made while agents work, and services that are started on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.conftest import FrozenClock
from tests.factories import SIMPLE
from tests.faults.histories import open_database
from tests.process.clients import Client, eventually, tickets
from tests.process.serving import START_S, Server, run_cli
from tests.worlds import World

# A server has tools of its own for that.
pytestmark = pytest.mark.sqlite

AGENTS = 4
COPIES = 3
# So many answers at least lie between two copies.
ANSWERS_BETWEEN = 40


class Agent:
    """Creates, claims, reports and finishes, one thing after the other; it remembers."""

    def __init__(self, server: Server, name: str, pipeline_id: str) -> None:
        self._server = server
        self._name = name
        self._pipeline_id = pipeline_id
        self.is_over = threading.Event()
        self.tasks: list[str] = []
        self.runs: list[str] = []
        self.events: list[int] = []
        self.ended: list[str] = []

    def work(self) -> None:
        with Client(self._server) as client:
            while not self.is_over.is_set():
                self.tasks.append(client.task(self._pipeline_id, self._name))
                claim = client.claim("coder", self._name)
                self.runs.append(claim["run"]["id"])
                event = client.on_run(claim, "events", {"kind": "step"}, status=201)
                self.events.append(event["id"])
                client.on_run(claim, "transition", {"trigger": "complete"})
                self.ended.append(claim["run"]["id"])


class Answered:
    """What all agents knew at one moment to be done."""

    def __init__(self, agents: list[Agent]) -> None:
        # In this order: an end that is seen has its beginning seen as well.
        self.ended = {id_ for agent in agents for id_ in agent.ended}
        self.events = {id_ for agent in agents for id_ in agent.events}
        self.runs = {id_ for agent in agents for id_ in agent.runs}
        self.tasks = {id_ for agent in agents for id_ in agent.tasks}

    def __len__(self) -> int:
        return len(self.ended) + len(self.events) + len(self.runs) + len(self.tasks)


@contextmanager
def at_work(server: Server) -> Iterator[list[Agent]]:
    """Let agents work during the block; each finishes what it has begun."""
    with Client(server) as client:
        pipeline_id = client.pipeline(SIMPLE)
    agents = [Agent(server, f"a{number}", pipeline_id) for number in range(AGENTS)]
    with ThreadPoolExecutor(AGENTS) as pool:
        working = [pool.submit(agent.work) for agent in agents]
        try:
            yield agents
        finally:
            for agent in agents:
                agent.is_over.set()
        for each in working:
            each.result(START_S)


def column(world: World, sql: str) -> set[object]:
    return {row[0] for row in world.query(sql)}


def check_copy(path: Path, before: Answered, after: Answered) -> None:
    """Compare a copy with what was answered before it was begun and in the end."""
    db = open_database(path)
    world = World(db, FrozenClock())
    try:
        assert db.integrity_check() == []
        world.check()
        for table in ("tasks", "runs"):
            ids = column(world, f"SELECT id FROM {table}")
            assert getattr(before, table) <= ids <= getattr(after, table)
        steps = column(world, "SELECT id FROM events WHERE kind = 'step'")
        assert before.events <= steps <= after.events
        ended = column(world, "SELECT id FROM runs WHERE status = 'completed'")
        assert before.ended <= ended <= after.ended
    finally:
        db.close()


def test_copies_made_while_agents_work_hold_what_was_answered_and_nothing_by_half(
    tmp_path: Path,
) -> None:
    known: list[Answered] = []
    with tickets(tmp_path, "--workers", "2") as server:
        # As the command does it, but at once: what is known is what was answered just before.
        with at_work(server) as agents, closing(open_database(tmp_path / "t.db")) as db:
            for number in range(COPIES):
                goal = len(Answered(agents)) + ANSWERS_BETWEEN
                eventually(lambda: len(Answered(agents)) >= goal)  # noqa: B023  # at once
                known.append(Answered(agents))
                db.backup(tmp_path / f"copy{number}.db")
        everything = Answered(agents)
        assert server.stop() == 0

    # The service went on during each copy.
    assert len(known[-1]) < len(everything)
    for number, before in enumerate(known):
        check_copy(tmp_path / f"copy{number}.db", before, everything)


def test_a_service_goes_on_from_a_copy_that_was_put_in_the_place_of_its_database(
    tmp_path: Path,
) -> None:
    with tickets(tmp_path, "--workers", "2") as server:
        with at_work(server) as agents:
            eventually(lambda: len(Answered(agents)) >= ANSWERS_BETWEEN)
            before = Answered(agents)
            run_cli("backup", "copy.db", "--db", "t.db", home=tmp_path)
        assert server.stop() == 0
    (tmp_path / "copy.db").replace(tmp_path / "t.db")
    for name in ("t.db-wal", "t.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)

    with tickets(tmp_path, "--workers", "2") as server, Client(server) as client:
        tasks = {task["id"] for task in client.pages("/tasks")}
        assert before.tasks <= tasks
        task_id = client.task(client.pipeline(SIMPLE, "other"), priority=1)
        claim = client.claim("coder")
        assert claim["task"]["id"] == task_id
        client.on_run(claim, "transition", {"trigger": "complete"})
        feed = client.get("/changes?limit=1000")["items"]
        assert [change["id"] for change in feed] == list(range(1, len(feed) + 1))
        assert server.stop() == 0
