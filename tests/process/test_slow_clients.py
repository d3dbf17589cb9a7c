"""Clients that are slow on purpose take no thread from the others (D-26)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.clients import Client, eventually, tickets, workers_of
from tests.process.serving import Server, read_answer

# More clients of each kind than there are threads.
THREADS = 4
CLIENTS = 40
# Less than any timeout that would make it pass for the wrong reason.
SOON_S = 5.0
OVERSIZED = b"Content-Length: 1000000000\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server")
    with tickets(
        home, "--workers", "1", "--threads", str(THREADS), TICKETS_TOKEN="t"
    ) as server:
        yield server


def is_served_soon(server: Server) -> bool:
    """Ask as often as there are threads, twice."""
    began = time.monotonic()
    for _ in range(2 * THREADS):
        with Client(server, token="t") as client:
            assert client.send("GET", "/tasks").status == 200
    return time.monotonic() - began < SOON_S


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"POST /tasks HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer t\r\n", 413),
        (b"POST /tasks HTTP/1.1\r\nHost: t\r\n", 401),
        (b"GET /health HTTP/1.1\r\nHost: t\r\n", 200),
    ],
    ids=["refused for its size", "refused before its size", "not asked for"],
)
def test_a_body_that_never_comes_is_not_waited_for(
    server: Server, line: bytes, status: int
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CLIENTS)]
        began = time.monotonic()
        for client in clients:
            client.sendall(line + OVERSIZED + b"{")
        for client in clients:
            answer = read_answer(client)
            assert (answer[0], answer[1]["connection"]) == (status, "close")
        assert time.monotonic() - began < SOON_S
        assert is_served_soon(server)


@pytest.mark.parametrize("size", [b"7FFFFFFF", b"F" * 15, b"F" * 16, b"F" * 1_000])
def test_a_chunk_that_is_announced_too_large_is_refused_at_once(
    server: Server, size: bytes
) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
    for authorization, status in ((b"Authorization: Bearer t\r\n", 413), (b"", 401)):
        with server.connect() as client:
            client.settimeout(SOON_S)
            client.sendall(head + authorization + b"\r\n1\r\n{\r\n%s\r\n" % size)
            answer = read_answer(client)

            assert (answer[0], answer[1]["connection"]) == (status, "close")
            assert client.recv(1) == b""


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_trickles_is_cut_off(server: Server, framing: str) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer t\r\n"
    length = OVERSIZED if framing == "length" else b"Transfer-Encoding: chunked\r\n\r\n"
    piece = b"1\r\n{\r\n" * 40
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(head + length)
        for _ in range(20):
            for client in clients:
                client.sendall(piece)
            assert is_served_soon(server)


def test_a_client_that_sends_all_of_its_9_mib_first_reads_the_refusal(server: Server) -> None:
    body = b"x" * (9 << 20)
    with server.connect() as client:
        client.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer t\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
        status, headers, answer = read_answer(client)

        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(answer)["error"]["code"] == "payload_too_large"
        assert client.recv(1) == b""


def unread(server: Server, requests: int) -> socket.socket:
    """Return a connection that asked for much and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect((server.host, server.port))
    client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n" * requests)
    return client


def test_answers_that_nobody_reads_hold_up_nobody(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(unread(server, 60)) for _ in range(CLIENTS)]
        assert is_served_soon(server)

        # Late, but whole and in order.
        clients[0].settimeout(SOON_S)
        answers = [read_answer(clients[0]) for _ in range(60)]
        assert {status for status, _, _ in answers} == {200}
        assert len({body for _, _, body in answers}) == 1


def test_a_client_that_reads_nothing_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with (
        tickets(tmp_path, "--workers", "1", "--threads", str(THREADS)) as server,
        unread(server, 60),
        unread(server, 60),
    ):
        with Client(server) as client:
            client.get("/health")
        assert server.stop() == 0


def started(server: Server, count: int) -> list[int]:
    """Return the worker processes once there are so many, and one of them answers."""
    with Client(server) as client:
        client.get("/health")
    return eventually(lambda: pids if len(pids := workers_of(server)) == count else None)


def full_by_mount(folder: Path) -> Callable[[], object] | None:
    """Make a small file system there; return what undoes it, or None where that is refused."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return None
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return None
    return lambda: subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_temporary_directory_kills_nobody(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    unmount = full_by_mount(scratch)
    if unmount is None:
        # Whatever is not there at all cannot be written to either.
        scratch.rmdir()
        scratch.write_bytes(b"")
    try:
        with tickets(tmp_path, "--workers", "2", TMPDIR=str(scratch)) as server:
            workers = started(server, 2)
            if unmount is not None:
                (scratch / "filler").write_bytes(b"x" * (64 << 10))
            with Client(server) as client:
                for _ in range(50):
                    client.get("/health")
                text = client.send("GET", "/metrics").body.decode()
            assert 'route="/health"' in text
            assert workers_of(server) == workers
            assert server.stop() == 0
    finally:
        if unmount is not None:
            unmount()


def test_counts_outlive_the_process_that_counted(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "1", "--threads", str(THREADS)) as server:
        (before,) = started(server, 1)
        with Client(server) as client:
            for _ in range(10):
                client.get("/health")
        os.kill(before, signal.SIGKILL)
        eventually(lambda: workers_of(server) not in ([before], []))
        with Client(server) as client:
            text = client.send("GET", "/metrics").body.decode()
        # One more was asked at the start.
        labels = 'method="GET",route="/health",status="200"'
        assert f"tickets_http_requests_total{{{labels}}} 11.0" in text


# D-31
def test_who_has_connected_when_it_stops_is_answered(tmp_path: Path) -> None:
    with (
        tickets(tmp_path, "--workers", "2", "--threads", str(THREADS)) as server,
        ExitStack() as stack,
    ):
        workers = started(server, 2)
        # Stopped, they accept nobody, and the connections stay in the backlog.
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        clients = [stack.enter_context(server.connect()) for _ in range(30)]
        for client in clients:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
        server.process.terminate()
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

        assert {read_answer(client)[0] for client in clients} == {200}
        assert server.process.wait(SOON_S * 2) == 0
