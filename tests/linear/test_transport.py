from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest

from tests.conftest import FrozenClock
from tests.linear.faults import LOST_RESPONSE, rate_limited
from tests.linear.serving import served
from tests.linear.stand_in import StandIn
from tickets.lifecycle.linear import transport
from tickets.lifecycle.linear.client import Key, LinearClient
from tickets.lifecycle.linear.errors import Limited, Passing
from tickets.lifecycle.linear.transport import Answer, post


def test_a_client_and_the_stand_in_over_a_socket(clock: FrozenClock) -> None:
    linear = StandIn(clock)
    with served(linear) as url:
        client = LinearClient(Key("api_key", linear.key), clock, url=url)

        assert client.viewer_id() == linear.viewer_id
        linear.faults.append(LOST_RESPONSE)
        with pytest.raises(Passing):
            client.viewer_id()
        linear.faults.append(rate_limited(retry_after="7"))
        with pytest.raises(Limited) as caught:
            client.viewer_id()
        assert caught.value.until_ms == clock.now_ms() + 7_000


def test_names_of_headers_come_in_lower_case() -> None:
    def answering(_: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer(418, {"X-Odd": headers["X-Mine"]}, body)

    with served(answering) as url:
        answer = post(url + "?a=b", {"X-Mine": "1"}, b"body")

    assert (answer.status, answer.headers["x-odd"], answer.body) == (418, "1", b"body")


def test_nobody_follows_a_redirection_with_the_key() -> None:
    asked = []

    def redirecting(path: str, _: Mapping[str, str], __: bytes) -> Answer:
        asked.append(path)
        return Answer(307, {"Location": "/elsewhere"}, b"")

    with served(redirecting) as url:
        assert post(url, {}, b"").status == 307

    assert asked == ["/graphql"]


def test_whoever_does_not_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/graphql"

        with pytest.raises(Passing, match="TimeoutError"):
            post(url, {"Authorization": "secret"}, b"{}")


def test_where_nobody_listens_there_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    with pytest.raises(Passing, match="ConnectionRefusedError"):
        post(f"http://127.0.0.1:{port}/graphql", {}, b"{}")


def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 10)

    with (
        served(lambda _, __, ___: Answer(200, {}, b"x" * 11)) as url,
        pytest.raises(Passing, match="too large"),
    ):
        post(url, {}, b"")


@pytest.mark.parametrize("is_in_head", [True, False])
def test_an_answer_that_comes_in_drops_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    is_in_head: bool,
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.2)
    head = b"HTTP/1.1 200 OK\r\n" + (b"X: " if is_in_head else b"\r\n")

    with dripping(head) as url, pytest.raises(Passing, match="TimeoutError"):
        post(url, {}, b"{}")


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """Serve one answer that begins well and goes on with a byte at a time for two seconds."""
    over = threading.Event()

    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client, suppress(ConnectionError):
            client.sendall(head)
            for _ in range(100):
                client.sendall(b"x")
                if over.wait(0.02):
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=[server])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/graphql"
        finally:
            over.set()
            thread.join()
