"""Clients that repeat what was not answered, while servers come and go, and remember all."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests import databases
from tests.factories import SIMPLE, Json
from tests.process.clients import Answer, Client, eventually, is_free, tickets, workers_of
from tests.process.serving import START_S, STOP_S, Server, run_cli

WRITERS = 6
EVENTS = 2
REFUSED_S = 0.02


@dataclass(frozen=True)
class Lost:
    """A request that was sent whole at a moment and got no answer."""

    sent_ns: int
    text: str


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
        # Requests that were sent whole and got no answer.
        self.lost: list[Lost] = []
        # Where the database goes away, a server that is still there answers 503.
        self.may_refuse = False
        self.refusals: Counter[str] = Counter()

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

    def was_answered(self) -> None:
        with self._changed:
            self.answered += 1

    def was_not_answered(self, lost: Lost | None) -> None:
        with self._changed:
            self.unanswered += 1
            if lost is not None:
                self.lost.append(lost)

    def was_refused(self, answer: Answer) -> None:
        with self._changed:
            self.refusals[answer.json["error"]["code"]] += 1
            # Sooner than the answer wants it, and not at once.
            self._changed.wait_for(lambda: self._is_given_up, REFUSED_S)

    def go_on(self, steps: int) -> None:
        """Wait until so many more requests were answered."""
        goal = self.answered + steps
        eventually(lambda: self._is_given_up or self.answered >= goal)
        assert not self._is_given_up, "a client failed"


@dataclass(frozen=True)
class Exchange:
    """A request, repeated until it was answered, and the moments around it."""

    answer: Answer
    first_ns: int
    # The answer is that to the last repetition, which began here.
    last_ns: int
    end_ns: int

    @property
    def was_repeated(self) -> bool:
        """Whether it was sent before, so that a refusal may come from what that has done."""
        return self.first_ns < self.last_ns


class Stubborn:
    """A client that repeats a request until it is answered, over as many connections."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name
        self._keys = 0
        self._client: Client | None = None

    def exchange(self, method: str, path: str, body: Json | None, **more: Any) -> Exchange:
        self._keys += 1
        key = f"{self._name}-{self._keys}" if method != "GET" else None
        first_ns = last_ns = time.monotonic_ns()
        while True:
            try:
                if self._client is None:
                    self._client = Client(self._service.server())
                answer = self._client.send(method, path, body, key=key, **more)
            except (OSError, HTTPException) as error:
                sent_ns = None if self._client is None else self._client.sent_ns
                lost = None if sent_ns is None else Lost(sent_ns, f"{method} {path}: {error!r}")
                self._service.was_not_answered(lost)
            else:
                if answer.status != 503 or not self._service.may_refuse:
                    self._service.was_answered()
                    return Exchange(answer, first_ns, last_ns, time.monotonic_ns())
                self._service.was_refused(answer)
            self.close()
            last_ns = time.monotonic_ns()

    def send(self, method: str, path: str, body: Json | None, **more: Any) -> Answer:
        return self.exchange(method, path, body, **more).answer

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
        wanted: Json = {"agent_id": self._name, "agent_role": "coder"}
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
    with crowd_on(service, pipeline_id) as crowd:
        yield crowd


@contextmanager
def crowd_on(service: Service, pipeline_id: str) -> Iterator[Crowd]:
    """Let clients work on a pipeline that is there; at the end each finishes."""
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


def check_database(home: Path) -> None:
    """Let ``check-db`` look at what a server has left behind."""
    result = run_cli("check-db", "--db", databases.of_home(home), home=home)

    assert result.returncode == 0, result
    assert "integrity  ok" in result.stdout


def kill_all(server: Server) -> None:
    """Kill master and workers at one instant, and wait until the port is given back."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(STOP_S)
    eventually(lambda: is_free(server.port))


def two_workers_of(server: Server) -> list[int] | None:
    """Return the workers where there are two, oldest first."""
    workers = sorted(workers_of(server))
    return workers if len(workers) == 2 else None
