"""Paths, methods, headers and sizes, whatever the endpoint."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Client
from tests.factories import Factory, bearer, refused


# clients double slashes, and follow no redirect
@pytest.mark.parametrize("path", ["/tasks", "/tasks/", "//tasks", "//tasks//", "/%74asks"])
def test_empty_segments_are_ignored_and_segments_decoded(client: Client, path: str) -> None:
    client.get(path, status=200)


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/tasks%2F", "/Tasks", "/tasks/x/y", "/tasks.json", "/tasks%23x"]
)
def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    assert client.get(path, status=404).json == refused("not_found")


def test_an_absolute_target_is_not_found(client: Client) -> None:
    raw = {"tests.raw_path": "http://localhost/tasks"}

    client.get("/x", extra_environ=raw, status=404)


# D-28: further segments are not ignored
@pytest.mark.parametrize("part", ["events", "transition", "fail", "gates", "release"])
def test_further_segments_on_a_lease_path_are_not_found(
    client: Client, make: Factory, part: str
) -> None:
    make.task()
    claim = make.claim()
    run, headers = f"/runs/{claim['run']['id']}", bearer(claim["lease_token"])
    heartbeat = f"/leases/{claim['lease_id']}/heartbeat"

    client.post_json(f"{run}/{part}/zzz", {"kind": "x"}, headers=headers, status=404)
    client.post(f"{heartbeat}/zzz", headers=headers, status=404)
    client.post(f"/{heartbeat}//", headers=headers, status=200)


# D-17: paths are UTF-8
@pytest.mark.parametrize("path", ["/tasks/%ff", "/tasks/%C3", "/tasks/a%00b"])
def test_a_path_that_is_not_text_is_refused(client: Client, path: str) -> None:
    raw = {"tests.raw_path": path}

    assert client.get("/x", extra_environ=raw, status=400).json == refused("invalid_path")


def test_a_malformed_escape_is_kept_as_it_is(client: Client) -> None:
    client.put_json("/store/ns/100%25", {"value": 1}, status=204)

    raw = {"tests.raw_path": "/store/ns/100%"}
    assert client.get("/x", extra_environ=raw, status=200).json["key"] == "100%"


# D-27: wrong methods are told the right ones
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/tasks", "GET, HEAD, POST"),
        ("OPTIONS", "/tasks", "GET, HEAD, POST"),
        ("POST", "/tasks/x", "GET, HEAD, PATCH"),
        ("GET", "/leases/claim", "POST"),
        ("HEAD", "/leases/claim", "POST"),
        ("GET", "/runs/x/fail", "POST"),
        ("PUT", "/store/ns", "DELETE, GET, HEAD"),
        ("PATCH", "/health", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    client: Client, method: str, path: str, allowed: str
) -> None:
    response = client.request(path, method=method, status=405)

    assert response.headers["Allow"] == allowed
    if method != "HEAD":
        assert response.json == refused("method_not_allowed")


def test_a_lower_case_method_is_a_wrong_method(client: Client) -> None:
    client.lint = False  # it knows the methods, and warns of others

    client.request("/tasks", method="get", status=405)


# D-27: HEAD is GET without the body
@pytest.mark.parametrize("path", ["/tasks", "/health", "/openapi.json", "/docs", "/tasks/x"])
def test_head_answers_as_get_without_a_body(client: Client, path: str) -> None:
    get = client.get(path, expect_errors=True)

    head = client.head(path, expect_errors=True)

    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers["Content-Length"] == str(len(get.body))


def test_a_content_type_is_asked_of_traces_only(client: Client, make: Factory) -> None:
    make.task()

    client.post(
        "/leases/claim",
        b'{"agent_id":"a","agent_role":"coder"}',
        headers={"Content-Type": "text/weird"},
        status=200,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks"),
        ("PUT", "/store/n/k"),
        ("POST", "/leases/claim"),
        ("PATCH", "/tasks/x"),
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "deflate"])
def test_a_compressed_body_is_told_that_only_traces_may_be(
    client: Client, method: str, path: str, coding: str
) -> None:
    body, headers = gzip.compress(b'{"value":1}'), {"Content-Encoding": coding}

    response = client.request(path, method=method, body=body, headers=headers, status=415)

    assert response.json == refused("unsupported_encoding")
    assert response.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "", " Identity "])
def test_a_body_that_is_not_compressed_is_judged_as_json(client: Client, coding: str) -> None:
    headers = {"Content-Encoding": coding}

    client.put("/store/n/k", b'{"value":1}', headers=headers, status=204)
    response = client.put("/store/n/k", b"\x1f\x8b", headers=headers, status=400)

    assert response.json == refused("invalid_json")


def test_a_body_that_only_says_that_it_is_compressed_is_read(client: Client) -> None:
    headers = {"Content-Encoding": "gzip"}

    client.put("/store/n/k", b'{"value":1}', headers=headers, status=204)


def test_a_heartbeat_is_kept_whatever_its_body_is(client: Client, make: Factory) -> None:
    make.task()
    claim = make.claim()
    path = f"/leases/{claim['lease_id']}/heartbeat"
    headers = {**bearer(claim["lease_token"]), "Content-Encoding": "gzip"}

    client.post(path, gzip.compress(b"{}"), headers=headers, status=200)


def test_a_lost_lease_is_told_before_a_compressed_body(client: Client) -> None:
    headers = {**bearer("0" * 64), "Content-Encoding": "gzip"}

    client.post("/runs/x/fail", gzip.compress(b"{}"), headers=headers, status=404)


def test_an_answer_is_json_without_white_space_in_utf_8(client: Client, make: Factory) -> None:
    make.task(title='Ünï/\x7f"\\\t')

    response = client.get("/tasks", status=200)

    assert response.headers["Content-Type"] == "application/json"
    assert response.body.startswith(b'{"items":[{"id":"')
    assert b'"title":"\xc3\x9cn\xc3\xaf/\x7f\\"\\\\\\t",' in response.body


def test_an_empty_answer_has_no_body(client: Client) -> None:
    response = client.put_json("/store/n/k", {"value": 1}, status=204)

    assert response.body == b""


@pytest.mark.parametrize("given", ["abc", "A-1_./:+=@", "x" * 128])
def test_a_sane_request_id_is_kept(client: Client, given: str) -> None:
    response = client.get("/nope", headers={"X-Request-Id": given}, status=404)

    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'q"', None])
def test_any_other_request_is_named_by_the_server(client: Client, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}

    response = client.get("/tasks", headers=headers, status=200)

    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["X-Request-Id"])


# D-25: a limit that can be set, an answer that says so
class TestSize:
    def test_the_largest_body_is_read_and_one_byte_more_refused(
        self, serve: Callable[..., Client]
    ) -> None:
        small = serve(max_body_bytes=1_024)
        fits = b'{"value":"%s"}' % (b"x" * (1_024 - 12))

        small.put("/store/n/k", fits, status=204)
        response = small.put("/store/n/k", fits + b" ", status=413)

        assert response.json == refused("payload_too_large")

    def test_eight_mebibytes_are_read_by_default(self, client: Client) -> None:
        fits = b'{"value":"%s"}' % (b"x" * ((8 << 20) - 12))

        client.put("/store/n/k", fits, status=204)
        client.put("/store/n/k", fits + b" ", status=413)

    def test_a_body_without_a_length_is_read_to_its_end(
        self, serve: Callable[..., Client]
    ) -> None:
        def put(body: bytes, status: int) -> Any:
            environ = {"wsgi.input_terminated": True}
            request = client.RequestClass.blank("/store/n/k", environ, method="PUT")
            request.body = body
            request.content_length = None
            return client.do_request(request, status=status)

        client = serve(max_body_bytes=1_024)
        client.lint = False  # it has no notion of a body that ends by itself

        put(b'{"value":1}', 204)
        put(b'{"value":"%s"}' % (b"x" * 2_000), 413)

    # D-27: a body cut short is not executed
    def test_a_body_shorter_than_its_length_is_refused(self, client: Client) -> None:
        request = client.RequestClass.blank("/store/n/k", method="PUT")
        request.body = b'{"value":1}'
        request.content_length = 12

        response = client.do_request(request, status=400)

        assert response.json == refused("invalid_json")
        client.get("/store/n/k", status=404)
