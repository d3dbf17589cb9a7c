from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import Client
from tickets.config import Settings

MAX_BODY_BYTES = 100_000
PROTOBUF = "application/x-protobuf"
FORM = "application/x-www-form-urlencoded"
SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "work",
    "startTimeUnixNano": "1544712660000000000",
    "attributes": [{"key": "nulltickets.run_id", "value": {"stringValue": "r1"}}],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(db=tmp_path / "tickets.db", wait_slots=0, max_body_bytes=MAX_BODY_BYTES)


def export(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def binary_export() -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add().scope_spans.add()
    group.spans.add(trace_id=b"\x01" * 16, span_id=b"\xab" * 8, name="binary")
    return request.SerializeToString()


def post(
    client: Client,
    body: bytes,
    content_type: str | None = "application/json",
    *,
    path: str = "/v1/traces",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Any:
    environ = {"CONTENT_TYPE": content_type} if content_type is not None else {}
    return client.request(
        path, method="POST", body=body, environ=environ, headers=headers or {}, status=status
    ).json


def spans(client: Client, query: str = "") -> list[Any]:
    items: list[Any] = client.get(f"/traces?{query}", status=200).json["items"]
    return items


@pytest.mark.parametrize("path", ["/v1/traces", "/otlp/v1/traces", "//v1/traces/"])
def test_spans_are_stored_on_both_paths(client: Client, path: str) -> None:
    answer = post(client, export(SPAN), path=path)

    assert answer == {"batch_id": 1, "accepted_spans": 1, "stored": "json"}


# D-15
def test_a_span_is_read_back_with_json_as_json(client: Client) -> None:
    post(client, export(SPAN))

    assert client.get("/traces?run_id=r1", status=200).json == {
        "items": [
            {
                "id": 1,
                "batch_id": 1,
                "trace_id": SPAN["traceId"],
                "span_id": SPAN["spanId"],
                "parent_span_id": None,
                "name": "work",
                "kind": None,
                "start_time_unix_nano": 1544712660000000000,
                "end_time_unix_nano": None,
                "status_code": None,
                "status_message": None,
                "attributes": SPAN["attributes"],
                "resource_attributes": [],
                "scope_name": None,
                "scope_version": None,
                "run_id": "r1",
                "task_id": None,
                "raw": SPAN,
            }
        ],
        "next_cursor": None,
    }
    assert spans(client, "run_id=r2") == []


def test_pages_of_spans_follow_each_other(client: Client) -> None:
    post(client, export(*({**SPAN, "spanId": str(number)} for number in range(3))))

    first = client.get("/traces?limit=2", status=200).json
    second = client.get("/traces", {"limit": 2, "cursor": first["next_cursor"]}).json

    walked = [span["span_id"] for span in first["items"] + second["items"]]
    assert (walked, second["next_cursor"]) == (["0", "1", "2"], None)
    for query, code in (("limit=0", "invalid_limit"), ("cursor=x", "invalid_cursor")):
        refused = client.get(f"/traces?{query}", status=400).json
        assert refused["error"]["code"] == code


@pytest.mark.parametrize(
    ("content_type", "stored"),
    [
        ("application/json", "json"),
        ("Application/JSON ; charset=utf-8", "json"),
        ("text/json", "blob"),
        ("application/json+x", "blob"),
        ("application/octet-stream", "blob"),
    ],
)
def test_only_the_exact_media_type_is_read_as_json(
    client: Client, content_type: str, stored: str
) -> None:
    answer = post(client, export(SPAN), content_type)

    assert answer["stored"] == stored
    assert answer["accepted_spans"] == len(spans(client)) == (1 if stored == "json" else 0)


# D-62
@pytest.mark.parametrize("content_type", [None, "", PROTOBUF, f"{PROTOBUF}; v=1"])
def test_binary_spans_are_stored_beside_the_blob(
    client: Client, content_type: str | None
) -> None:
    answer = post(client, binary_export(), content_type)

    assert answer == {"batch_id": 1, "accepted_spans": 1, "stored": "blob"}
    assert [span["name"] for span in spans(client, f"trace_id={'01' * 16}")] == ["binary"]


# curl names a form where its user named nothing
@pytest.mark.parametrize("content_type", [None, "", FORM, f"{FORM}; charset=utf-8"])
@pytest.mark.parametrize("blank", [b"", b" \r\n"])
def test_json_that_is_not_named_is_read_where_it_is_json(
    client: Client, content_type: str | None, blank: bytes
) -> None:
    answer = post(client, blank + export(SPAN), content_type)

    assert answer == {"batch_id": 1, "accepted_spans": 1, "stored": "json"}
    assert len(spans(client)) == 1


@pytest.mark.parametrize("content_type", [None, FORM])
@pytest.mark.parametrize("body", [b'{"resourceSpans":[', b'{"resourceSpans":{}}'])
def test_json_that_is_not_named_and_cannot_be_read_is_kept_and_reported(
    client: Client, content_type: str | None, body: bytes
) -> None:
    answer = post(client, body, content_type)

    assert (answer["accepted_spans"], answer["stored"]) == (0, "blob")
    assert answer["partialSuccess"]["rejectedSpans"] == 0


def test_a_form_is_kept_as_it_came(client: Client) -> None:
    assert post(client, b"a=%7B", FORM) == {
        "batch_id": 1,
        "accepted_spans": 0,
        "stored": "blob",
    }


def test_a_binary_export_that_begins_like_json_is_not_taken_for_it(client: Client) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    span = spans.add(trace_id=b"\x01" * 16, span_id=b"\xab" * 8)
    # Field 1, and a length of 123.
    while not request.SerializeToString().startswith(b"\n{"):
        span.name += "x"

    answer = post(client, request.SerializeToString(), None)

    assert answer == {"batch_id": 1, "accepted_spans": 1, "stored": "blob"}


def test_a_binary_span_under_another_media_type_is_not_read(client: Client) -> None:
    answer = post(client, binary_export(), "application/octet-stream")

    assert answer == {"batch_id": 1, "accepted_spans": 0, "stored": "blob"}


# D-62
def test_spans_that_were_not_stored_are_reported(client: Client) -> None:
    answer = post(client, export(SPAN, {"name": "lost"}))

    assert answer["accepted_spans"] == 1
    assert answer["partialSuccess"]["rejectedSpans"] == 1
    assert post(client, b"\xff\xff", PROTOBUF)["partialSuccess"]["rejectedSpans"] == 0


# D-62
def test_times_may_be_numbers(client: Client) -> None:
    post(client, export({**SPAN, "startTimeUnixNano": 1544712660000000001}))

    assert spans(client)[0]["start_time_unix_nano"] == 1544712660000000001


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"resourceSpans":[]} x', "invalid_json"),
        (b'{"a":1,"a":2}', "invalid_json"),
        (b'{"resourceSpans":{}}', "invalid_request"),
        (export({**SPAN, "name": 5}), "invalid_request"),
        (export({**SPAN, "name": "a\0b"}), "invalid_request"),
    ],
)
def test_a_bad_json_export_stores_nothing(client: Client, body: bytes, code: str) -> None:
    assert post(client, body, status=400)["error"]["code"] == code

    assert post(client, export())["batch_id"] == 1


# D-62
@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("gzip", gzip.compress(export(SPAN))),
        ("X-GZIP", gzip.compress(export(SPAN))),
        ("deflate", zlib.compress(export(SPAN))),
        ("identity", export(SPAN)),
        ("", export(SPAN)),
    ],
)
def test_a_compressed_export_is_read(client: Client, encoding: str, encoded: bytes) -> None:
    answer = post(client, encoded, headers={"Content-Encoding": encoding})

    assert answer == {"batch_id": 1, "accepted_spans": 1, "stored": "json"}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", export(SPAN)),
        ("gzip, gzip", gzip.compress(gzip.compress(export(SPAN)))),
        ("gzip", export(SPAN)),
        ("gzip", gzip.compress(export(SPAN))[:-1]),
        ("gzip", gzip.compress(export(SPAN)) + b"x"),
        ("gzip", b""),
        ("deflate", gzip.compress(export(SPAN))),
    ],
)
def test_what_is_not_encoded_as_it_says_is_refused(
    client: Client, encoding: str, body: bytes
) -> None:
    refused = post(client, body, status=400, headers={"Content-Encoding": encoding})

    assert refused["error"]["details"][0]["field"] == "Content-Encoding"


# D-25, D-62
def test_a_body_is_limited_before_and_after_decoding(client: Client) -> None:
    padding = MAX_BODY_BYTES - len(b'{"x":""}')
    fits = b'{"x":"' + b"x" * padding + b'"}'
    post(client, gzip.compress(fits), headers={"Content-Encoding": "gzip"})
    post(client, fits)

    bomb = gzip.compress(b" " + fits)
    assert len(bomb) < 1000
    for body, headers in ((bomb, {"Content-Encoding": "gzip"}), (b" " + fits, {})):
        refused = post(client, body, status=413, headers=headers)
        assert refused["error"]["code"] == "payload_too_large"


def test_a_repeated_export_with_one_key_is_one_batch(client: Client) -> None:
    for _ in range(2):
        answer = post(client, export(SPAN), headers={"Idempotency-Key": "once"})
        assert answer["batch_id"] == 1

    assert len(spans(client)) == 1
    assert post(client, export(SPAN))["batch_id"] == 2
