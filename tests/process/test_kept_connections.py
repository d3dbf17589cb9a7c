"""Requests that follow each other on one connection, taken by the thread that answered last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.serving import DUMMY, Server, read_answer, running

# The server alone: there is no database behind it.
pytestmark = pytest.mark.sqlite

REQUEST = b"POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("server")
    # Two of sixteen threads may stay with their clients.
    with running([str(DUMMY), "workers=1", "threads=16"], home=home) as server:
        yield server
        assert server.stop() == 0


def test_requests_sent_at_once_are_answered_one_after_the_other(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"".join(REQUEST % n for n in range(20)))
        buffered = client.makefile("rb")
        seen = []
        for _ in range(20):
            assert buffered.readline().startswith(b"HTTP/1.1 200")
            length = 0
            while (line := buffered.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            seen.append(json.loads(buffered.read(length)))

    assert [answer["path"] for answer in seen] == [f"/{n}" for n in range(20)]
    assert {answer["bytes"] for answer in seen} == {5}


@pytest.mark.parametrize("cut", [1, 20, len(REQUEST % 1) - 1])
def test_a_request_that_arrives_in_pieces_after_an_answer_is_answered(
    server: Server, cut: int
) -> None:
    request = REQUEST % 1
    with server.connect() as client:
        for _ in range(3):
            client.sendall(request[:cut])
            # Longer than a thread stays.
            for _ in range(30):
                assert server.get("/other")[0] == 200
            client.sendall(request[cut:])
            assert read_answer(client)[0] == 200


def test_more_clients_than_threads_can_stay_with_are_served(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(50)]
        for _ in range(10):
            for client in clients:
                client.sendall(REQUEST % 2)
            assert {read_answer(client)[0] for client in clients} == {200}


def test_a_client_that_leaves_after_its_answer_is_let_go(server: Server) -> None:
    for _ in range(50):
        with server.connect() as client:
            client.sendall(REQUEST % 3)
            assert read_answer(client)[0] == 200

    assert server.get("/still-there")[0] == 200


@pytest.mark.parametrize(
    ("version", "lines", "answered"),
    [
        (1, b"Connection: TE, Close\r\n", b"close"),
        (1, b"Connection: TE\r\nConnection: close\r\n", b"close"),
        (1, b"Connection: closed\r\n", b"keep-alive"),
        (1, b"Connection: ,TE,\r\n", b"keep-alive"),
        (1, b"", b"keep-alive"),
        (0, b"Connection: TE, Keep-Alive\r\n", b"keep-alive"),
        (0, b"Connection: keep-alive, close\r\n", b"close"),
        (0, b"Connection: TE\r\n", b"close"),
        (0, b"", b"close"),
    ],
)
def test_a_connection_is_kept_or_closed_as_any_of_its_options_says(
    server: Server, version: int, lines: bytes, answered: bytes
) -> None:
    with server.connect() as client:
        client.sendall(b"GET /1 HTTP/1.%d\r\nHost: t\r\n%s\r\n" % (version, lines))
        status, headers, _ = read_answer(client)

        assert (status, headers["connection"]) == (200, answered.decode())
        if answered == b"close":
            assert client.recv(1) == b""
        else:
            client.sendall(REQUEST % 1)
            assert read_answer(client)[0] == 200
