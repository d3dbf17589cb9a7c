from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from tickets.errors import Invalid
from tickets.tracker.domain.traces import Parsed, Span, spans_from_json, spans_from_protobuf

TRACE_ID = "5b8efff798038103d269b633813fc60c"
SPAN_ID = "eee19b7ec3c1b174"


def attribute(key: str, value: object) -> dict[str, object]:
    return {"key": key, "value": value}


def a_span(**fields: object) -> dict[str, object]:
    return {"traceId": TRACE_ID, "spanId": SPAN_ID, **fields}


def export(*spans: object, attributes: list[Any] | None = None) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}
        ]
    }


def read(*spans: object, attributes: list[Any] | None = None) -> Span:
    (span,) = spans_from_json(export(*spans, attributes=attributes)).spans
    return span


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        spans_from_json(document)
    assert caught.value.code == "invalid_request"
    assert isinstance(caught.value.details, list)
    return str(caught.value.details[0]["field"])


def test_a_span_is_read_whole() -> None:
    sent = a_span(
        parentSpanId="eee19b7ec3c1b173",
        name="claim",
        kind=2,
        startTimeUnixNano="1544712660000000000",
        endTimeUnixNano="1544712661000000000",
        attributes=[attribute("nulltickets.run_id", {"stringValue": "r1"})],
        status={"code": 1, "message": "fine"},
        events=[{"name": "tick"}],
        links=[{"traceId": TRACE_ID}],
    )
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [attribute("service.name", {"stringValue": "a"})]},
                "scopeSpans": [{"scope": {"name": "lib", "version": "1.0"}, "spans": [sent]}],
            }
        ]
    }

    assert spans_from_json(document) == Parsed(
        (
            Span(
                trace_id=TRACE_ID,
                span_id=SPAN_ID,
                parent_span_id="eee19b7ec3c1b173",
                name="claim",
                kind="2",
                start_time_unix_nano=1544712660000000000,
                end_time_unix_nano=1544712661000000000,
                status_code="1",
                status_message="fine",
                attributes=[attribute("nulltickets.run_id", {"stringValue": "r1"})],
                resource_attributes=[attribute("service.name", {"stringValue": "a"})],
                scope_name="lib",
                scope_version="1.0",
                run_id="r1",
                task_id=None,
                # D-62: events and links are kept
                raw=sent,
            ),
        )
    )


def test_a_span_of_ids_only_is_enough() -> None:
    assert read(a_span(name=None, kind=None, status=None, attributes=None)) == Span(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id=None,
        name="unnamed",
        kind=None,
        start_time_unix_nano=None,
        end_time_unix_nano=None,
        status_code=None,
        status_message=None,
        attributes=[],
        resource_attributes=[],
        scope_name=None,
        scope_version=None,
        run_id=None,
        task_id=None,
        raw=a_span(name=None, kind=None, status=None, attributes=None),
    )


@pytest.mark.parametrize(
    "document",
    [{}, {"resourceSpans": None}, {"resourceSpans": []}, {"resourceSpans": [{}], "extra": 1}],
)
def test_an_export_may_be_empty(document: dict[str, Any]) -> None:
    assert spans_from_json(document) == Parsed(())


def test_the_older_group_of_spans_is_read_after_the_newer() -> None:
    document = {
        "resourceSpans": [
            {
                "instrumentationLibrarySpans": [
                    {
                        "instrumentationLibrary": {"name": "old", "version": "0"},
                        "spans": [a_span(name="second")],
                    }
                ],
                "scopeSpans": [{"spans": [a_span(name="first")]}],
            }
        ]
    }

    spans = spans_from_json(document).spans

    assert [(each.name, each.scope_name) for each in spans] == [
        ("first", None),
        ("second", "old"),
    ]


# D-62
def test_spans_without_ids_are_counted_and_the_others_kept() -> None:
    parsed = spans_from_json(
        export({"traceId": TRACE_ID}, a_span(), {"spanId": SPAN_ID}, a_span(traceId=None))
    )

    assert len(parsed.spans) == 1
    assert parsed.rejected == 3
    assert parsed.problem == "3 spans without traceId or spanId were not stored"


def test_an_empty_id_is_an_id() -> None:
    assert read(a_span(traceId="", spanId="")).trace_id == ""


# D-62
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("1544712660000000000", 1544712660000000000),
        (1544712660000000000, 1544712660000000000),
        (1.5e18, 1500000000000000000),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        (2**64, None),
        (10**400, None),
        ("9" * 5000, None),
        ("-5", None),
        (-5, None),
        ("1_000", None),
        ("12.5", None),
        (12.5, None),
        ("", None),
        ("٣", None),
        ("soon", None),
        ("0", 0),
        (None, None),
    ],
)
def test_times_are_digits_or_numbers(sent: object, stored: int | None) -> None:
    span = read(a_span(startTimeUnixNano=sent, endTimeUnixNano=sent))

    assert span.start_time_unix_nano == stored
    assert span.end_time_unix_nano == stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [(2, "2"), (2.0, "2"), ("SPAN_KIND_SERVER", "SPAN_KIND_SERVER"), (None, None)],
)
def test_enumerations_are_kept_as_text(sent: object, stored: str | None) -> None:
    span = read(a_span(kind=sent, status={"code": sent}))

    assert (span.kind, span.status_code) == (stored, stored)


IN_SPAN = "resourceSpans[0].scopeSpans[0].spans[0]"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"traceId": 5}, "traceId"),
        ({"spanId": []}, "spanId"),
        ({"parentSpanId": 0}, "parentSpanId"),
        ({"name": {}}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"kind": True}, "kind"),
        ({"kind": 2.5}, "kind"),
        ({"kind": "\0"}, "kind"),
        ({"startTimeUnixNano": True}, "startTimeUnixNano"),
        ({"endTimeUnixNano": {}}, "endTimeUnixNano"),
        ({"status": "OK"}, "status"),
        ({"status": {"code": []}}, "status.code"),
        ({"status": {"message": 1}}, "status.message"),
        ({"attributes": {}}, "attributes"),
        ({"attributes": [5]}, "attributes[0]"),
        ({"attributes": [{"value": 1}]}, "attributes[0].key"),
        ({"attributes": [{"key": 1, "value": 1}]}, "attributes[0].key"),
        ({"attributes": [{"key": "a"}]}, "attributes[0].value"),
    ],
)
def test_a_wrong_type_in_a_span_refuses_the_export(fields: dict[str, Any], field: str) -> None:
    assert refused(export(a_span(**fields))) == f"{IN_SPAN}.{field}"


def test_a_wrong_type_refuses_the_export_also_in_a_span_without_ids() -> None:
    assert refused(export({"name": 5})) == f"{IN_SPAN}.name"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"resourceSpans": {}}, "resourceSpans"),
        ({"resourceSpans": [None]}, "resourceSpans[0]"),
        ({"resourceSpans": [{"resource": []}]}, "resourceSpans[0].resource"),
        (
            {"resourceSpans": [{"resource": {"attributes": 1}}]},
            "resourceSpans[0].resource.attributes",
        ),
        ({"resourceSpans": [{"scopeSpans": "x"}]}, "resourceSpans[0].scopeSpans"),
        (
            {"resourceSpans": [{"scopeSpans": [{"scope": {"name": 1}}]}]},
            "resourceSpans[0].scopeSpans[0].scope.name",
        ),
        (
            {"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]},
            "resourceSpans[0].scopeSpans[0].spans[0]",
        ),
    ],
)
def test_a_wrong_type_around_spans_refuses_the_export(
    document: dict[str, Any], field: str
) -> None:
    assert refused(document) == field


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stringValue": "r1"}, "r1"),
        ({"stringValue": ""}, ""),
        ({"intValue": "5"}, "5"),
        ({"intValue": 5}, "5"),
        ({"doubleValue": 1.5}, "1.5"),
        ({"doubleValue": 2.0}, "2"),
        ({"boolValue": True}, "true"),
        ({"bytesValue": "AQI="}, "AQI="),
        ({"boolValue": False, "stringValue": "first"}, "first"),
        ({"stringValue": None, "intValue": 5}, None),
        ({}, "{}"),
        ({"arrayValue": {"values": []}}, '{"arrayValue":{"values":[]}}'),
        ({"stringValue": ["ä", 1]}, '["ä",1]'),
        ("bare", "bare"),
        (7, "7"),
        (True, "true"),
        (["a"], '["a"]'),
        (None, None),
        ("a\0b", None),
    ],
)
def test_a_link_is_the_text_of_its_attribute(value: object, text: str | None) -> None:
    span = read(a_span(attributes=[attribute("nulltickets.task_id", value)]))

    assert span.task_id == text


def test_a_span_says_more_than_its_resource() -> None:
    resource = [
        attribute("nulltickets.run_id", {"stringValue": "resource-run"}),
        attribute("nulltickets.task_id", {"stringValue": "resource-task"}),
    ]
    span = read(
        a_span(
            attributes=[
                attribute("nulltickets.run_id", {"stringValue": "first"}),
                attribute("nulltickets.run_id", {"stringValue": "second"}),
                attribute("nulltickets.task_id", None),
            ]
        ),
        attributes=resource,
    )

    assert (span.run_id, span.task_id) == ("first", "resource-task")


def test_a_link_may_use_the_shorter_name() -> None:
    span = read(
        a_span(attributes=[attribute("tickets.run_id", {"stringValue": "r"})]),
        attributes=[
            attribute("nulltickets.run_id", {"stringValue": "resource"}),
            attribute("tickets.task_id", {"stringValue": "t"}),
        ],
    )

    assert (span.run_id, span.task_id) == ("r", "t")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "status", "attributes"]
ATTRIBUTES = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from(["nulltickets.run_id", "a"]), "value": JSON})
)


@given(JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    for document in (
        {"resourceSpans": value},
        {"resourceSpans": [{"resource": value, "scopeSpans": value}]},
        export(value),
    ):
        with contextlib.suppress(Invalid):
            spans_from_json(document)


@given(st.dictionaries(st.sampled_from(KEYS), JSON), ATTRIBUTES)
def test_any_span_is_read_or_refused(fields: dict[str, Any], attributes: list[Any]) -> None:
    with contextlib.suppress(Invalid):
        spans_from_json(export(a_span(attributes=attributes), a_span(**fields)))


def a_message() -> ExportTraceServiceRequest:
    span = trace_pb2.Span(
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=bytes.fromhex(SPAN_ID),
        parent_span_id=bytes.fromhex("eee19b7ec3c1b173"),
        name="claim",
        kind=trace_pb2.Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1544712660000000000,
        end_time_unix_nano=1544712661000000000,
        attributes=[
            KeyValue(key="nulltickets.task_id", value=AnyValue(string_value="t1")),
            KeyValue(key="count", value=AnyValue(int_value=7)),
            KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue()]))),
        ],
        status=trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR, message="no"),
        events=[trace_pb2.Span.Event(name="tick", time_unix_nano=5)],
        links=[
            trace_pb2.Span.Link(
                trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID)
            )
        ],
    )
    scope = InstrumentationScope(name="lib", version="1.0")
    resource = Resource(
        attributes=[KeyValue(key="nulltickets.run_id", value=AnyValue(int_value=9))]
    )
    return ExportTraceServiceRequest(
        resource_spans=[
            trace_pb2.ResourceSpans(
                resource=resource,
                scope_spans=[trace_pb2.ScopeSpans(scope=scope, spans=[span])],
            )
        ]
    )


# D-62
def test_a_binary_export_reads_like_the_same_export_in_json() -> None:
    in_json = {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "claim",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "attributes": [
            attribute("nulltickets.task_id", {"stringValue": "t1"}),
            attribute("count", {"intValue": "7"}),
            attribute("list", {"arrayValue": {"values": [{}]}}),
        ],
        "events": [{"timeUnixNano": "5", "name": "tick"}],
        "links": [{"traceId": TRACE_ID, "spanId": SPAN_ID}],
        "status": {"message": "no", "code": 2},
    }
    document = {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [attribute("nulltickets.run_id", {"intValue": "9"})]
                },
                "scopeSpans": [
                    {"scope": {"name": "lib", "version": "1.0"}, "spans": [in_json]}
                ],
            }
        ]
    }

    parsed = spans_from_protobuf(a_message().SerializeToString())

    assert parsed == spans_from_json(document)
    assert parsed is not None
    assert (parsed.spans[0].run_id, parsed.spans[0].task_id) == ("9", "t1")
    assert json.loads(json.dumps(parsed.spans[0].raw)) == in_json


def test_an_empty_payload_is_an_export_of_nothing() -> None:
    assert spans_from_protobuf(b"") == Parsed(())


@pytest.mark.parametrize("payload", [b"\xff\xff", b'{"resourceSpans":[]}', b"\x0a\x05abc"])
def test_a_payload_of_another_kind_is_not_read(payload: bytes) -> None:
    assert spans_from_protobuf(payload) is None


def test_what_a_binary_span_leaves_out_is_absent() -> None:
    message = a_message()
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.Clear()
    span.trace_id, span.span_id = b"\x01" * 16, b"\x02" * 8
    span.attributes.add()

    parsed = spans_from_protobuf(message.SerializeToString())

    assert parsed is not None
    (stored,) = parsed.spans
    assert (stored.name, stored.kind, stored.status_code) == ("unnamed", None, None)
    assert (stored.start_time_unix_nano, stored.parent_span_id) == (None, None)
    assert stored.attributes == [attribute("", {})]


# D-62
def test_a_binary_span_without_ids_is_counted() -> None:
    message = a_message()
    message.resource_spans[0].scope_spans[0].spans.add()

    parsed = spans_from_protobuf(message.SerializeToString())

    assert parsed is not None
    assert (len(parsed.spans), parsed.rejected) == (1, 1)


def test_u0000_in_a_binary_export_is_refused() -> None:
    message = a_message()
    message.resource_spans[0].scope_spans[0].spans[0].name = "a\0b"

    with pytest.raises(Invalid, match=r"name: must not hold U\+0000"):
        spans_from_protobuf(message.SerializeToString())


def delimited(tag: int, content: bytes) -> bytes:
    """Return a length-delimited field in protobuf's encoding."""
    length = len(content)
    varint = bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([tag, *varint, length]) + content


@pytest.mark.parametrize("depth", [1, 10, 40, 46, 50, 500])
def test_deeply_nested_values_are_read_or_refused_as_another_kind(depth: int) -> None:
    value = b""
    for _ in range(depth):
        # AnyValue.array_value is field 5, ArrayValue.values is field 1.
        value = delimited(0x2A, delimited(0x0A, value))
    key_value = delimited(0x0A, b"deep") + delimited(0x12, value)
    message = a_message()
    junk = delimited(0x0A, delimited(0x0A, delimited(0x0A, key_value)))

    parsed = spans_from_protobuf(message.SerializeToString() + junk)

    assert (parsed is not None) == (depth <= 46)


@given(st.binary(max_size=64), st.integers(0, 200))
def test_any_payload_is_read_or_refused(junk: bytes, at: int) -> None:
    whole = a_message().SerializeToString()

    for payload in (junk, whole[:at] + junk + whole[at:], whole[:at]):
        with contextlib.suppress(Invalid):
            spans_from_protobuf(payload)
