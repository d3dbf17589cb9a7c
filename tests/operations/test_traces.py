from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import FrozenClock
from tests.worlds import looked_up
from tickets.db.database import Database
from tickets.errors import Invalid, InvalidCursor, PayloadTooLarge
from tickets.tracker.domain.documents import TraceQuery
from tickets.tracker.domain.records import PartialSuccess, Span, TracesStored
from tickets.tracker.operations import traces as module
from tickets.tracker.operations.traces import TraceOperations

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@pytest.fixture
def traces(db: Database, clock: FrozenClock) -> TraceOperations:
    return TraceOperations(db, clock)


def a_span(span_id: str = "s1", **fields: Any) -> dict[str, Any]:
    return {"traceId": "t1", "spanId": span_id, "name": "work", **fields}


def linked(run_id: str | None = None, task_id: str | None = None) -> list[dict[str, Any]]:
    links = {"nulltickets.run_id": run_id, "nulltickets.task_id": task_id}
    return [
        {"key": key, "value": {"stringValue": value}}
        for key, value in links.items()
        if value is not None
    ]


def export(*spans: dict[str, Any], resource: list[Any] | None = None) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": resource or []},
                "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": [*spans]}],
            }
        ]
    }


def send(traces: TraceOperations, document: dict[str, Any]) -> TracesStored:
    payload = json.dumps(document).encode()
    return traces.accept_json(payload, document, content_type=JSON)


def ids(traces: TraceOperations, **query: Any) -> list[str]:
    return [span.span_id for span in traces.list_spans(TraceQuery(**query)).items]


def batches(db: Database) -> list[Any]:
    return looked_up(
        db,
        "SELECT id, received_at_ms, content_type, payload_json, payload_blob, parsed_spans"
        " FROM otlp_batches ORDER BY id",
    )


# D-15
def test_a_span_reads_back_as_it_was_sent(traces: TraceOperations) -> None:
    sent = a_span(
        parentSpanId="s0",
        kind=2,
        startTimeUnixNano="1700000000000000001",
        endTimeUnixNano=1700000000000000002,
        status={"code": 1, "message": "fine"},
        attributes=[{"key": "big", "value": {"intValue": 2**70}}],
        events=[{"name": "kept"}],
    )

    answer = send(traces, export(sent, resource=linked("r1", "k1")))

    assert answer == TracesStored(batch_id=1, accepted_spans=1, stored="json")
    (span,) = traces.list_spans(TraceQuery()).items
    assert span == Span(
        id=1,
        batch_id=1,
        trace_id="t1",
        span_id="s1",
        parent_span_id="s0",
        name="work",
        kind="2",
        start_time_unix_nano=1700000000000000001,
        end_time_unix_nano=1700000000000000002,
        status_code="1",
        status_message="fine",
        attributes=span.attributes,
        resource_attributes=span.resource_attributes,
        scope_name="lib",
        scope_version="1",
        run_id="r1",
        task_id="k1",
        raw=span.raw,
    )
    assert json.loads(bytes(span.attributes)) == sent["attributes"]
    assert json.loads(bytes(span.resource_attributes)) == linked("r1", "k1")
    assert json.loads(bytes(span.raw)) == sent


def test_the_body_of_a_json_export_is_kept_whole(
    traces: TraceOperations, db: Database, clock: FrozenClock
) -> None:
    payload = b' {"resourceSpans" : [ ], "later": 1}'

    traces.accept_json(payload, json.loads(payload), content_type="application/json; q=1")

    assert batches(db) == [
        (1, clock.now_ms(), "application/json; q=1", payload.decode(), None, 0)
    ]


# D-62
def test_spans_without_ids_are_reported(traces: TraceOperations, db: Database) -> None:
    answer = send(traces, export(a_span(), {"name": "lost"}, {"traceId": "t"}))

    assert answer.accepted_spans == 1
    assert answer.partialSuccess == PartialSuccess(
        rejectedSpans=2,
        errorMessage="2 spans without traceId or spanId were not stored",
    )
    assert batches(db)[0][-1] == 1


def test_a_wrong_type_anywhere_stores_nothing(traces: TraceOperations, db: Database) -> None:
    with pytest.raises(Invalid):
        send(traces, export(a_span(), a_span(name=5)))

    assert batches(db) == []
    assert ids(traces) == []


# D-62
def test_a_binary_export_is_kept_and_its_spans_are_stored(
    traces: TraceOperations, db: Database
) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add().scope_spans.add()
    span = group.spans.add(trace_id=b"\x01" * 16, span_id=b"\xab" * 8, name="binary")
    span.attributes.add(key="nulltickets.run_id").value.string_value = "r1"
    group.spans.add(name="lost")
    payload = request.SerializeToString()

    answer = traces.accept_protobuf(payload, content_type=PROTOBUF)

    assert (answer.accepted_spans, answer.stored) == (1, "blob")
    assert isinstance(answer.partialSuccess, PartialSuccess)
    assert answer.partialSuccess.rejectedSpans == 1
    assert ids(traces, run_id="r1", trace_id="01" * 16) == ["ab" * 8]
    assert batches(db)[0][2:] == (PROTOBUF, None, payload, 1)


def with_u0000() -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add().scope_spans.add()
    group.spans.add(trace_id=b"\x01" * 16, span_id=b"\xab" * 8, name="a\0b")
    return request.SerializeToString()


@pytest.mark.parametrize("payload", [b"\xff\xff", b"{}", with_u0000()])
def test_what_cannot_be_read_is_kept_with_a_warning(
    traces: TraceOperations, db: Database, payload: bytes
) -> None:
    answer = traces.accept_protobuf(payload, content_type=PROTOBUF)

    assert (answer.accepted_spans, answer.stored) == (0, "blob")
    assert isinstance(answer.partialSuccess, PartialSuccess)
    assert answer.partialSuccess.rejectedSpans == 0
    assert batches(db)[0][4:] == (payload, 0)


def test_an_empty_binary_export_is_a_whole_one(traces: TraceOperations) -> None:
    answer = traces.accept_protobuf(b"", content_type=PROTOBUF)

    assert answer == TracesStored(batch_id=1, accepted_spans=0, stored="blob")


def test_other_bodies_are_never_looked_into(traces: TraceOperations, db: Database) -> None:
    answer = traces.accept_other(b'{"resourceSpans": 5', content_type="text/json")

    assert answer == TracesStored(batch_id=1, accepted_spans=0, stored="blob")
    assert batches(db)[0][2:] == ("text/json", None, b'{"resourceSpans": 5', 0)


def test_every_combination_of_filters_holds_for_each_span(traces: TraceOperations) -> None:
    send(
        traces,
        export(
            a_span("none"),
            a_span("run", attributes=linked("r1")),
            a_span("task", attributes=linked(None, "k1")),
            a_span("both", attributes=linked("r1", "k1")),
            {**a_span("else", attributes=linked("r1", "k1")), "traceId": "t2"},
        ),
    )

    assert ids(traces) == ["none", "run", "task", "both", "else"]
    assert ids(traces, trace_id="t1") == ["none", "run", "task", "both"]
    assert ids(traces, run_id="r1") == ["run", "both", "else"]
    assert ids(traces, task_id="k1") == ["task", "both", "else"]
    assert ids(traces, run_id="r1", task_id="k1") == ["both", "else"]
    assert ids(traces, trace_id="t1", run_id="r1") == ["run", "both"]
    assert ids(traces, trace_id="t1", task_id="k1") == ["task", "both"]
    assert ids(traces, trace_id="t2", run_id="r1", task_id="k1") == ["else"]
    assert ids(traces, trace_id="t2", run_id="r2") == []


# D-01
@pytest.mark.parametrize("query", [{}, {"trace_id": "t1"}, {"run_id": "r1"}, {"task_id": "k1"}])
def test_a_walk_over_pages_meets_every_span_once(
    traces: TraceOperations, query: dict[str, str]
) -> None:
    spans = [a_span(f"s{number}") for number in range(7)]
    send(traces, export(*spans, resource=linked("r1", "k1")))

    walked: list[str] = []
    cursor = None
    while True:
        page = traces.list_spans(TraceQuery(**query, limit=3, cursor=cursor))
        walked += [span.span_id for span in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert walked == [f"s{number}" for number in range(7)]


def test_a_foreign_cursor_is_refused(traces: TraceOperations) -> None:
    with pytest.raises(InvalidCursor):
        traces.list_spans(TraceQuery(cursor="1:x"))


def test_a_small_body_cannot_unfold_into_a_full_disk(
    traces: TraceOperations, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = [{"key": "k", "value": {"stringValue": "x" * 100}}]
    size_bytes = len(json.dumps(resource, separators=(",", ":")))
    monkeypatch.setattr(module, "MAX_STORED_BYTES", 3 * size_bytes)
    spans = [a_span(f"s{number}") for number in range(4)]

    assert send(traces, export(*spans[:3], resource=resource)).accepted_spans == 3
    with pytest.raises(PayloadTooLarge):
        send(traces, export(*spans, resource=resource))

    assert len(batches(db)) == 1
