"""How the server starts and stops (D-30, D-31)."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.process.serving import DUMMY, Server, read_answer, running

# The server alone: there is no database behind it.
pytestmark = pytest.mark.sqlite

# Less than any timeout that would make it pass for the wrong reason.
SOON_S = 6.0


def dummy(*flags: str) -> list[str]:
    return [str(DUMMY), "workers=2", "threads=4", *flags]


def is_reachable(server: Server) -> bool:
    try:
        server.connect().close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_stops_it_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    with running(dummy(), home=tmp_path) as server:
        assert server.get("/")[0] == 200

        assert server.stop(number) == 0
        assert not is_reachable(server)


# D-31
def test_stopping_it_while_it_starts_is_no_failure(tmp_path: Path) -> None:
    for _ in range(5):
        with running(dummy(), home=tmp_path, TMPDIR=str(tmp_path)) as server:
            assert server.stop() == 0
        assert list(tmp_path.iterdir()) == []


def test_stopping_answers_long_polls_early_and_closes_idle_connections(tmp_path: Path) -> None:
    with running(dummy(), home=tmp_path) as server:
        with server.connect() as waiting, server.connect() as idle, server.connect():
            idle.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            read_answer(idle)
            waiting.sendall(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
            # Answered by the same processes, so /wait is being handled by now.
            for _ in range(20):
                assert server.get("/")[0] == 200
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            status, headers, body = read_answer(waiting)

            assert (status, json.loads(body)["stopped"]) == (200, True)
            assert headers["connection"] == "close"
            assert idle.recv(1) == b""
        assert server.process.wait(SOON_S) == 0
        assert time.monotonic() - began < SOON_S


def test_a_request_that_is_half_sent_when_it_stops_is_still_answered(tmp_path: Path) -> None:
    with running(dummy(), home=tmp_path) as server:
        with server.connect() as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{")
            for _ in range(20):
                assert server.get("/")[0] == 200
            server.process.send_signal(signal.SIGTERM)
            client.sendall(b"}")

            assert read_answer(client)[0] == 200
        assert server.process.wait(SOON_S) == 0


# D-31
def test_a_request_on_a_kept_connection_is_answered_by_a_stopping_worker(
    tmp_path: Path,
) -> None:
    request = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
    with running([str(DUMMY), "workers=1", "threads=4"], home=tmp_path) as server:
        with server.connect() as client:
            client.sendall(request)
            _, headers, body = read_answer(client)
            assert headers["connection"] == "keep-alive"
            worker = json.loads(body)["pid"]
            # The worker sees the request and the signal at one time.
            os.kill(worker, signal.SIGSTOP)
            client.sendall(request)
            server.process.send_signal(signal.SIGTERM)
            os.kill(worker, signal.SIGTERM)
            os.kill(worker, signal.SIGCONT)
            status, headers, _ = read_answer(client)

        assert (status, headers["connection"]) == (200, "close")
        assert server.process.wait(SOON_S) == 0


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with running([str(DUMMY), "workers=1", "threads=4"], home=tmp_path) as server:
        _, answer = server.get("/")

        os.kill(answer["pid"], signal.SIGKILL)

        deadline = time.monotonic() + SOON_S
        pid = answer["pid"]
        while pid == answer["pid"] and time.monotonic() < deadline:
            pid = server.get("/")[1]["pid"]
        assert pid != answer["pid"]
        assert server.stop() == 0


def test_workers_without_a_master_stop_and_give_the_port_back(tmp_path: Path) -> None:
    with running(dummy(), home=tmp_path) as server, server.connect() as busy:
        assert server.get("/")[0] == 200
        server.process.kill()
        server.process.wait(SOON_S)
        began = time.monotonic()
        answered = "keep-alive"
        while answered == "keep-alive":
            # Never idle, so only the worker itself can end it.
            assert time.monotonic() - began < SOON_S
            busy.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            answered = read_answer(busy)[1]["connection"]
        while is_reachable(server):
            assert time.monotonic() - began < SOON_S

        assert answered == "close"


# D-30
def test_a_second_server_on_the_same_port_fails_at_once(tmp_path: Path) -> None:
    with running(dummy(), home=tmp_path) as server:
        began = time.monotonic()
        with (
            pytest.raises(AssertionError, match=r"cannot listen on .*another server"),
            running(dummy(f"port={server.port}"), home=tmp_path),
        ):
            pass

        assert time.monotonic() - began < SOON_S
        assert server.get("/")[0] == 200


# D-29
def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")

    with running(dummy("host=::1"), home=tmp_path) as server:
        assert server.get("/")[0] == 200
        assert server.stop() == 0
