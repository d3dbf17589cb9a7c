"""Broken clients by the hundred: the others are answered as if they were not there."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.drills import IS_DRILL, rounds
from tests.factories import SIMPLE, Json
from tests.faults.soundness import check_home
from tests.process.clients import Client, Open, eventually, tickets, workers_of
from tests.process.serving import Server, read_answer

pytestmark = pytest.mark.drill

THREADS = 4
# Of each kind far more than there are threads.
IDLE = 500
BROKEN = 40
AGENTS = 4
LOOPS = rounds(15, drill=20)
HEAD = b"POST /tasks HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    flags = ("--workers", "1", "--threads", str(THREADS))
    # Every thread but one may wait; the default would leave a quarter of so few.
    with tickets(tmp_path, *flags, "--wait-slots", str(THREADS - 1)) as server:
        with Client(server) as client:
            client.get("/health")
        yield server
        assert server.stop() == 0
    check_home(tmp_path)


class Crowd:
    """Agents that go about their work, whatever else there is."""

    def __init__(self, server: Server) -> None:
        self._server = server
        with Client(server) as client:
            self.pipeline_id = client.pipeline(SIMPLE)
        self.titles: list[str] = []

    def work(self, name: str) -> None:
        """Do what a round of agents does; whoever waits for an answer fails after a while."""
        with ThreadPoolExecutor(AGENTS) as pool:
            for titles in pool.map(self._loops, [f"{name} {n}" for n in range(AGENTS)]):
                self.titles += titles

    def _loops(self, name: str) -> list[str]:
        titles = [f"{name} {number}" for number in range(LOOPS)]
        with Client(self._server) as client:
            for title in titles:
                client.task(self.pipeline_id, title)
                claim = client.claim("coder", name)
                client.on_run(claim, "events", {"kind": "step"}, status=201)
                client.on_run(claim, "transition", {"trigger": "complete"})
        return titles

    def check(self) -> None:
        """Everything was done once, and nothing that only broken clients began."""
        with Client(self._server) as client:
            tasks = client.pages("/tasks")
        assert sorted(task["title"] for task in tasks) == sorted(self.titles)
        assert {(task["stage"], task["task_version"]) for task in tasks} == {("done", 2)}


def task_body(crowd: Crowd) -> bytes:
    return b'{"pipeline_id": "%s", "title": "cut", "description": ""}' % (
        crowd.pipeline_id.encode()
    )


def threads_of(server: Server) -> int:
    """Return how many threads the one worker has, 0 for all where no system tells."""
    (worker,) = workers_of(server)
    return len(list(Path(f"/proc/{worker}/task").glob("*")))


def hang_up(connection: socket.socket, *, rudely: bool) -> None:
    """Close a connection, with a reset where the client is rude."""
    if rudely:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def test_clients_that_are_idle_stuck_or_slow_hold_up_nobody(server: Server) -> None:
    crowd = Crowd(server)
    crowd.work("before")
    threads = threads_of(server)
    body = task_body(crowd)
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(server.connect())
        stuck = [stack.enter_context(server.connect()) for _ in range(BROKEN)]
        for client in stuck:
            client.sendall(HEAD % len(body) + body[:20])
        slow = [stack.enter_context(server.connect()) for _ in range(BROKEN)]
        request = HEAD % len(body) + body
        # A byte of each for a whole round of work, which is less than one a second.
        for number in range(3):
            for client in slow:
                client.sendall(request[number : number + 1])
            crowd.work(f"beside {number}")
        assert threads_of(server) <= threads + THREADS
        for client in slow:
            client.sendall(request[3:])
        assert {read_answer(client)[0] for client in slow} == {201}
    with Client(server) as agent:
        for _ in range(BROKEN):
            claim = agent.claim("coder")
            assert claim["task"]["title"] == "cut"
            agent.on_run(claim, "transition", {"trigger": "complete"})
    # Those that were slow are done, those that were stuck have done nothing.
    crowd.titles += ["cut"] * BROKEN
    crowd.check()


@pytest.mark.parametrize("rudely", [False, True], ids=["politely", "with a reset"])
def test_clients_that_vanish_before_the_answer_hold_up_nobody(
    server: Server, rudely: bool
) -> None:
    crowd = Crowd(server)
    big = b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n" * 60
    for number in range(3):
        clients = [server.connect() for _ in range(2 * BROKEN)]
        for client in clients[:BROKEN]:
            # The answers fill what the socket takes, so the server has some left.
            client.sendall(big)
        for client in clients[BROKEN:]:
            client.sendall(b"GET /tasks HTTP/1.1\r\nHost: t\r\n\r\n")
        for client in clients[:BROKEN]:
            client.recv(100)
        for client in clients:
            hang_up(client, rudely=rudely)
        crowd.work(f"round {number}")
    crowd.check()


@pytest.mark.parametrize("rudely", [False, True], ids=["politely", "with a reset"])
def test_clients_that_vanish_in_a_long_poll_are_granted_nothing(
    server: Server, rudely: bool
) -> None:
    crowd = Crowd(server)
    wanted: Json = {"agent_id": "gone", "agent_role": "coder", "wait_ms": 60_000}
    waiting = [Open(server, "POST", "/leases/claim", wanted) for _ in range(BROKEN)]
    # All places are taken by now: who finds none is answered at once.
    eventually(lambda: count_answered(waiting) == BROKEN - (THREADS - 1) or None)
    for each in waiting:
        hang_up(each.socket, rudely=rudely)
    # What was sent before these were answered has arrived, also on a machine that is busy.
    for _ in range(20):
        assert server.get("/health")[0] == 200

    crowd.work("after")

    crowd.check()
    with Client(server) as client:
        feed = client.pages("/tasks")
        agents = {client.get(f"/tasks/{task['id']}")["latest_run"]["agent_id"] for task in feed}
    assert "gone" not in agents


def count_answered(waiting: list[Open]) -> int:
    """Return how many of them have something to read."""
    count = 0
    for each in waiting:
        each.socket.setblocking(False)
        with suppress(BlockingIOError):
            count += bool(each.socket.recv(1, socket.MSG_PEEK))
    return count


@pytest.mark.skipif(
    not IS_DRILL, reason="takes as long as a request may; needs TICKETS_DRILL=1"
)
def test_a_client_that_stops_in_mid_body_is_given_up(server: Server) -> None:
    crowd = Crowd(server)
    body = task_body(crowd)
    with server.connect() as client:
        client.sendall(HEAD % len(body) + body[:20])
        crowd.work("meanwhile")
        status, headers, _ = read_answer(client)
        assert (status, headers["connection"]) == (408, "close")
        assert client.recv(1) == b""
    crowd.check()
