"""Trace exports with broken fields, bytes and encodings."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.factories import Json
from tests.fuzz.budgets import tried
from tests.fuzz.odd import broken, mutated
from tests.fuzz.place import JSON, MAX_BODY_BYTES, Answer, Place

PROTOBUF = ("Content-Type", "application/x-protobuf")
ATTRIBUTES: list[Json] = [
    {"key": "tickets.run_id", "value": {"stringValue": "r"}},
    {"key": "n", "value": {"intValue": "1"}},
    {"key": "d", "value": {"doubleValue": 1.5}},
    {"key": "b", "value": {"boolValue": True}},
    {"key": "y", "value": {"bytesValue": "aGk="}},
    {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
    {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}},
]
SPAN: Json = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "eee19b7ec3c1b173",
    "name": "claim",
    "kind": 2,
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": "1544712661000000000",
    "status": {"code": 1, "message": "ok"},
    "attributes": ATTRIBUTES,
    "events": [{"name": "e", "timeUnixNano": "1", "attributes": ATTRIBUTES}],
    "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}],
}
EXPORT: Json = {
    "resourceSpans": [
        {
            "resource": {"attributes": ATTRIBUTES},
            "scopeSpans": [{"scope": {"name": "s", "version": "1"}, "spans": [SPAN, SPAN]}],
        }
    ]
}
PIECES = st.binary(max_size=4) | st.sampled_from(
    [b"\xff" * 10, b"\x80" * 10 + b"\x01", b"\x0b"]
)
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


def a_message(*, attribute: bytes = b"") -> bytes:
    """Return the protobuf of two spans, the first with one more attribute."""
    span = trace_pb2.Span(
        trace_id=bytes.fromhex(SPAN["traceId"]),
        span_id=bytes.fromhex(SPAN["spanId"]),
        name="claim",
        kind=trace_pb2.Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1,
        end_time_unix_nano=2**64 - 1,
        attributes=[KeyValue(key="k", value=AnyValue(double_value=float("nan")))],
    ).SerializeToString()
    # The spans of a scope have number 2, the scopes of a resource too, the resources 1, and
    # the attributes of a span 9.
    spans = part(2, span + (part(9, attribute) if attribute else b"")) + part(2, span)
    return part(1, part(2, spans))


def part(number: int, content: bytes) -> bytes:
    """Return a part of a message: its number, its length and what is in it."""
    length, left = b"", len(content)
    while left > 127:
        length += bytes([128 | left & 127])
        left >>= 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + content


def nested(depth: int) -> bytes:
    """Return an attribute of lists within lists, deeper than the library would write it."""
    value = AnyValue(string_value="x").SerializeToString()
    for _ in range(depth):
        value = part(5, part(1, value))
    return part(1, b"k") + part(2, value)


def spans_of(place: Place) -> int:
    return place.world.query("SELECT COUNT(*) FROM otlp_spans")[0][0]  # type: ignore[no-any-return]


def export(place: Place, body: bytes, *headers: tuple[str, str]) -> Answer:
    """Send an export; as many spans are stored as are said to be, and can be read back."""
    before = spans_of(place)
    answer = place.send_whole("POST", "/v1/traces", body=body, headers=headers)
    assert answer.status in (200, 400, 413)
    stored = answer.json["accepted_spans"] if answer.status == 200 else 0
    assert spans_of(place) == before + stored
    assert place.send("GET", f"/traces?limit=2&cursor={before}").status == 200
    return answer


def test_the_exports_that_are_changed_here_are_sound(place: Place) -> None:
    for body, kind in ((json.dumps(EXPORT).encode(), JSON), (a_message(), PROTOBUF)):
        for name, encode in ENCODINGS.items():
            answer = export(place, encode(body), kind, ("Content-Encoding", name))

            assert answer.json["accepted_spans"] == 2
            assert "partialSuccess" not in answer.json


@tried(100, drill=450)
@given(mutated(EXPORT))
def test_an_export_with_one_wrong_field_is_stored_or_refused(
    place: Place, changed: object
) -> None:
    export(place, json.dumps(changed).encode(), JSON)


@tried(120, drill=450)
@given(broken(a_message(), piece=PIECES) | st.binary(max_size=100))
def test_broken_protobuf_is_kept_and_never_refused(place: Place, body: bytes) -> None:
    answer = export(place, body, PROTOBUF)

    assert answer.status == 200


@tried(15, drill=60)
@given(st.integers(0, 5_000))
def test_protobuf_of_any_depth_is_kept(place: Place, depth: int) -> None:
    answer = export(place, a_message(attribute=nested(depth)), PROTOBUF)

    assert answer.status in (200, 413)


@tried(120, drill=450)
@given(data=st.data(), kind=st.sampled_from([JSON, PROTOBUF]))
def test_a_broken_encoding_is_read_or_refused(
    place: Place, data: st.DataObject, kind: tuple[str, str]
) -> None:
    whole = json.dumps(EXPORT).encode() if kind is JSON else a_message()
    name = data.draw(st.sampled_from(sorted(ENCODINGS)))
    body = data.draw(broken(ENCODINGS[name](whole), piece=PIECES))
    header = data.draw(
        st.sampled_from([name, name.upper(), f" {name} ", f"{name}, {name}", "br", "\xff", ""])
    )

    export(place, body, kind, ("Content-Encoding", header))


@tried(20, drill=90)
@given(
    size=st.integers(MAX_BODY_BYTES - 2, MAX_BODY_BYTES * 300),
    encoding=st.sampled_from(["gzip", "deflate"]),
    kind=st.sampled_from([JSON, PROTOBUF]),
)
def test_a_bomb_is_refused_from_the_first_byte_too_many(
    place: Place, size: int, encoding: str, kind: tuple[str, str]
) -> None:
    bomb = ENCODINGS[encoding](b"{}" + b" " * (size - 2))
    assert len(bomb) <= MAX_BODY_BYTES

    answer = export(place, bomb, kind, ("Content-Encoding", encoding))

    assert (answer.status == 413) == (size > MAX_BODY_BYTES)
