"""Processes that are killed under load: nothing answered is lost, nothing happens twice.

Clients repeat whatever was not answered, with the same Idempotency-Key, as the documentation
tells them to.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.factories import SIMPLE, Json
from tests.process.clients import (
    Answer,
    Client,
    Open,
    eventually,
    free_port,
    is_free,
    tickets,
    workers_of,
)
from tests.process.serving import START_S, STOP_S, Server, run_cli

WRITERS = 6
EVENTS = 2
# A long run has other moments each time; the seed of a failed one is in its report.
IS_DRILL = "TICKETS_DRILL" in os.environ
SEED = random.randrange(1 << 32) if IS_DRILL else 8
ROUNDS = 100 if IS_DRILL else 8
# Between the two, some steps of a round are answered before it ends.
FEWEST_STEPS, MOST_STEPS = 20, 150


class Service:
    """The server that there is at the moment; without one its clients wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._server: Server | None = None
        self._is_given_up = False
        self.is_ending = False
        self.is_written = False
        self.answered = 0
        self.unanswered = 0

    def is_now(self, server: Server | None) -> None:
        with self._changed:
            self._server = server
            self._changed.notify_all()

    def give_up(self) -> None:
        with self._changed:
            self._is_given_up = self.is_ending = self.is_written = True
            self._changed.notify_all()

    def server(self) -> Server:
        with self._changed:
            self._changed.wait_for(lambda: self._server or self._is_given_up, START_S)
            assert not self._is_given_up
            assert self._server is not None
            return self._server

    def count(self, *, is_answered: bool) -> None:
        with self._changed:
            self.answered += is_answered
            self.unanswered += not is_answered

    def go_on(self, steps: int) -> None:
        """Wait until so many more requests were answered."""
        goal = self.answered + steps
        eventually(lambda: self.answered >= goal)


class Stubborn:
    """A client that repeats a request until it is answered, over as many connections."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name
        self._keys = 0
        self._client: Client | None = None

    def send(self, method: str, path: str, body: Json | None, **more: Any) -> Answer:
        self._keys += 1
        key = f"{self._name}-{self._keys}" if method == "POST" else None
        while True:
            try:
                if self._client is None:
                    self._client = Client(self._service.server())
                answer = self._client.send(method, path, body, key=key, **more)
            except (OSError, HTTPException):
                self._service.count(is_answered=False)
                self.close()
            else:
                self._service.count(is_answered=True)
                return answer

    def post(self, path: str, body: Json, *, status: int, **more: Any) -> Json:
        answer = self.send("POST", path, body, **more)
        assert answer.status == status, (path, body, answer)
        document: Json = answer.json
        return document

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class Writer:
    """An agent that creates a task, claims one, reports and finishes; it remembers all."""

    def __init__(self, service: Service, name: str, pipeline_id: str) -> None:
        self._service = service
        self._client = Stubborn(service, name)
        self._name = name
        self._pipeline_id = pipeline_id
        self.titles: dict[str, str] = {}
        self.claims: list[Json] = []
        self.events: dict[str, list[tuple[int, Any]]] = {}

    def run(self) -> None:
        while not self._service.is_ending:
            self._create()
            self._work()
        self._client.close()

    def _create(self) -> None:
        title = f"{self._name} {len(self.titles)}"
        body = {"pipeline_id": self._pipeline_id, "title": title, "description": ""}
        task_id = self._client.post("/tasks", body, status=201)["id"]
        assert task_id not in self.titles
        self.titles[task_id] = title

    def _work(self) -> None:
        # Each writer creates before it claims, so there always is something.
        wanted = {"agent_id": self._name, "agent_role": "coder"}
        claim = self._client.post("/leases/claim", wanted, status=200)
        self.claims.append(claim)
        run_id = claim["run"]["id"]
        more = {"token": claim["lease_token"]}
        events = self.events[run_id] = []
        for number in range(EVENTS):
            event = {"kind": "step", "data": {"by": self._name, "number": number}}
            answer = self._client.post(f"/runs/{run_id}/events", event, status=201, **more)
            events.append((answer["id"], event["data"]))
        done = {"trigger": "complete"}
        self._client.post(f"/runs/{run_id}/transition", done, status=200, **more)


class Follower:
    """A consumer of the feed that keeps its cursor through everything."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client = Stubborn(service, "follower")
        self.changes: list[Json] = []

    def run(self) -> None:
        cursor = ""
        is_last = False
        while not is_last:
            is_last = self._service.is_written
            page = self._read(cursor, wait_ms=0 if is_last else 500)
            while page["items"]:
                self.changes += page["items"]
                cursor = f"&after={page['next_cursor']}"
                page = self._read(cursor, wait_ms=0)
        self._client.close()

    def _read(self, cursor: str, *, wait_ms: int) -> Json:
        answer = self._client.send("GET", f"/changes?wait_ms={wait_ms}{cursor}", None)
        assert answer.status == 200, answer
        page: Json = answer.json
        return page


class Crowd:
    """All clients of one test and what they remember."""

    def __init__(self, service: Service, pipeline_id: str) -> None:
        self.writers = [Writer(service, f"w{n}", pipeline_id) for n in range(WRITERS)]
        self.follower = Follower(service)

    def check(self, client: Client) -> None:
        """Compare what they remember with what the service tells."""
        titles = {id_: title for each in self.writers for id_, title in each.titles.items()}
        claims = [claim for each in self.writers for claim in each.claims]
        tasks = client.pages("/tasks")
        assert {task["id"]: task["title"] for task in tasks} == titles
        assert len(tasks) == len({task["title"] for task in tasks})
        assert {(task["stage"], task["task_version"]) for task in tasks} == {("done", 2)}
        assert sorted(claim["task"]["id"] for claim in claims) == sorted(titles)
        assert {claim["run"]["attempt"] for claim in claims} == {1}
        for writer in self.writers:
            for run_id, events in writer.events.items():
                stored = client.get(f"/runs/{run_id}/events")["items"]
                *steps, last = [(item["id"], item["data"]) for item in stored]
                assert steps == events
                assert last[1]["trigger"] == "complete"
        self._check_feed(len(tasks))

    def _check_feed(self, count: int) -> None:
        ids = [change["id"] for change in self.follower.changes]
        assert ids == sorted(set(ids))
        assert Counter(change["kind"] for change in self.follower.changes) == {
            "pipeline.created": 1,
            "task.created": count,
            "task.claimed": count,
            "run.event": count * EVENTS,
            "run.transitioned": count,
        }


@contextmanager
def crowd_at_work(service: Service, home: Path) -> Iterator[Crowd]:
    """Let clients work; at the end each finishes what it has begun."""
    with tickets(home) as server, Client(server) as client:
        pipeline_id = client.pipeline(SIMPLE)
    crowd = Crowd(service, pipeline_id)
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        follower = pool.submit(crowd.follower.run)
        writers = [pool.submit(writer.run) for writer in crowd.writers]
        try:
            yield crowd
        except BaseException:
            service.give_up()
            raise
        service.is_ending = True
        try:
            for writer in writers:
                writer.result(START_S)
        finally:
            service.is_written = True
        follower.result(START_S)


def check_file(home: Path) -> None:
    result = run_cli("check-db", "--db", "t.db", home=home)

    assert result.returncode == 0, result
    assert "integrity  ok" in result.stdout


@pytest.fixture
def chance() -> random.Random:
    print(f"seed {SEED}")  # noqa: T201  # pytest shows it where the test fails
    return random.Random(SEED)


# D-40
def test_nothing_is_lost_or_doubled_when_all_processes_are_killed(
    tmp_path: Path, chance: random.Random
) -> None:
    flags = ("--port", str(free_port()), "--workers", "2")
    service = Service()
    with ExitStack() as stack:
        with crowd_at_work(service, tmp_path) as crowd:
            for _ in range(ROUNDS):
                with tickets(tmp_path, *flags) as server:
                    service.is_now(server)
                    service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                    service.is_now(None)
                    kill_all(server)
            server = stack.enter_context(tickets(tmp_path, *flags))
            service.is_now(server)
            service.go_on(MOST_STEPS)
        with Client(server) as client:
            crowd.check(client)
        assert server.stop() == 0

    assert service.unanswered >= ROUNDS
    check_file(tmp_path)


def test_nothing_is_lost_or_doubled_when_single_workers_are_killed(
    tmp_path: Path, chance: random.Random
) -> None:
    service = Service()
    with tickets(tmp_path, "--workers", "2") as server:
        with crowd_at_work(service, tmp_path) as crowd:
            service.is_now(server)
            for _ in range(ROUNDS):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                victim = chance.choice(eventually(lambda: two_workers_of(server)))
                os.kill(victim, signal.SIGKILL)
                eventually(lambda: victim not in workers_of(server))  # noqa: B023  # at once
            service.go_on(MOST_STEPS)
        with Client(server) as client:
            crowd.check(client)
        assert server.stop() == 0

    assert service.unanswered >= ROUNDS
    check_file(tmp_path)


def test_an_answer_that_nobody_read_is_given_again_after_a_restart(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()), "--workers", "2")
    with tickets(tmp_path, *flags) as server, Client(server) as client:
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        with Open(server, "POST", "/tasks", task, key="create").socket:
            (created,) = eventually(lambda: client.pages("/tasks"))
        wanted = {"agent_id": "a", "agent_role": "coder"}
        with Open(server, "POST", "/leases/claim", wanted, key="claim").socket:
            eventually(lambda: client.get("/health")["active_leases"])
        run = client.get(f"/tasks/{created['id']}")["latest_run"]
        kill_all(server)

    with tickets(tmp_path, *flags) as server, Client(server) as client:
        assert client.post("/tasks", task, status=201, key="create") == {"id": created["id"]}
        claim = client.post("/leases/claim", wanted, key="claim")
        assert claim["run"] == run
        more = {"token": claim["lease_token"]}
        path, step, done = f"/runs/{run['id']}", {"kind": "step"}, {"trigger": "complete"}
        with Open(server, "POST", f"{path}/events", step, key="step", **more).socket:
            (event,) = eventually(lambda: client.get(f"{path}/events")["items"])
        with Open(server, "POST", f"{path}/transition", done, key="done", **more).socket:
            eventually(lambda: not client.get("/health")["active_leases"])
        kill_all(server)

    with tickets(tmp_path, *flags) as server, Client(server) as client:
        again = client.post(f"{path}/events", step, status=201, key="step", **more)
        assert again == {"id": event["id"]}
        moved = client.post(f"{path}/transition", done, key="done", **more)
        assert moved["new_stage"] == "done"
        kinds = [item["kind"] for item in client.get(f"{path}/events")["items"]]
        assert kinds == ["step", "transition"]
        (finished,) = client.pages("/tasks")
        assert (finished["stage"], finished["task_version"]) == ("done", 2)


def kill_all(server: Server) -> None:
    """Kill master and workers at one instant, and wait until the port is given back."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(STOP_S)
    eventually(lambda: is_free(server.port))


def two_workers_of(server: Server) -> list[int] | None:
    """Return the workers where there are two, oldest first."""
    workers = sorted(workers_of(server))
    return workers if len(workers) == 2 else None
