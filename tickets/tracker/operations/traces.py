"""Traces: OTLP exports kept as they came, with their spans to be read back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import Invalid, PayloadTooLarge
from tickets.tracker.domain import traces
from tickets.tracker.domain.documents import TraceQuery
from tickets.tracker.domain.records import Json, PartialSuccess, Span, TracesStored
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_id_cursor

# The attributes of a resource are stored with each of its spans. This is far above what an
# exporter sends in one body, and keeps a small body from becoming a full disk.
MAX_STORED_BYTES = 128 << 20


class TraceOperations:
    """Everything a client can ask of traces."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def accept_json(
        self, payload: bytes, document: dict[str, Any], *, content_type: str
    ) -> TracesStored:
        """Store an export whose body ``payload`` is the JSON ``document``, and its spans.

        Raises Invalid for a wrong type in any field that is read, PayloadTooLarge.
        """
        return self._store(
            traces.spans_from_json(document),
            stored="json",
            content_type=content_type,
            payload_json=payload.decode(),
            payload_blob=None,
        )

    def accept_protobuf(self, payload: bytes, *, content_type: str) -> TracesStored:
        """Store a binary export, and its spans where it can be read.

        What cannot be read is kept all the same, since the exporter would only drop it.
        Raises PayloadTooLarge.
        """
        try:
            parsed = traces.spans_from_protobuf(payload)
        except Invalid as error:
            parsed = traces.Parsed((), problem=f"no span was stored: {error.text}")
        if parsed is None:
            parsed = traces.Parsed((), problem="the body is not an ExportTraceServiceRequest")
        return self._store(
            parsed,
            stored="blob",
            content_type=content_type,
            payload_json=None,
            payload_blob=payload,
        )

    def accept_other(
        self, payload: bytes, *, content_type: str, problem: str | None = None
    ) -> TracesStored:
        """Store a body that is not read; ``problem`` tells its sender why, if it is known."""
        return self._store(
            traces.Parsed((), problem=problem),
            stored="blob",
            content_type=content_type,
            payload_json=None,
            payload_blob=payload,
        )

    def list_spans(self, query: TraceQuery) -> Page[Span]:
        """Return a page of spans in the order of their arrival. Raises InvalidCursor."""
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            found = _page(tx, query, after_id=after_id, limit=query.limit + 1)
        return make_page(
            found, limit=query.limit, make=_span, cursor=lambda row: str(row["id"])
        )

    def _store(
        self,
        parsed: traces.Parsed,
        *,
        stored: Literal["json", "blob"],
        **batch: object,
    ) -> TracesStored:
        spans = _span_rows(parsed.spans)
        with self._db.write() as tx:
            batch_id: int = tx.value(
                "otlp.add_batch",
                now_ms=self._clock.now_ms(),
                parsed_spans=len(spans),
                **batch,
            )
            tx.run_many("otlp.add_span", ({**row, "batch_id": batch_id} for row in spans))
        return TracesStored(
            batch_id=batch_id,
            accepted_spans=len(spans),
            stored=stored,
            partialSuccess=_partial_success(parsed),
        )


def _span_rows(spans: tuple[traces.Span, ...]) -> list[dict[str, object]]:
    """Return the columns of each span. Raises PayloadTooLarge."""
    rows = []
    size_bytes = 0
    # Spans of one resource share the list of its attributes, which is written out once.
    resource_texts: dict[int, str] = {}
    for span in spans:
        shared = span.resource_attributes
        if id(shared) not in resource_texts:
            resource_texts[id(shared)] = to_json(shared)
        row = _span_row(span, resource_attributes_json=resource_texts[id(shared)])
        size_bytes += len(resource_texts[id(shared)])
        if size_bytes > MAX_STORED_BYTES:
            raise PayloadTooLarge("Too many spans for resource attributes of this size")
        rows.append(row)
    return rows


def _span_row(span: traces.Span, *, resource_attributes_json: str) -> dict[str, object]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "status_code": span.status_code,
        "status_message": span.status_message,
        "attributes_json": to_json(span.attributes),
        "resource_attributes_json": resource_attributes_json,
        "scope_name": span.scope_name,
        "scope_version": span.scope_version,
        "run_id": span.run_id,
        "task_id": span.task_id,
        "raw_json": to_json(span.raw),
    }


def _partial_success(parsed: traces.Parsed) -> PartialSuccess | msgspec.UnsetType:
    if parsed.problem is None:
        return msgspec.UNSET
    return PartialSuccess(rejectedSpans=parsed.rejected, errorMessage=parsed.problem)


def _page(tx: Transaction, query: TraceQuery, *, after_id: int, limit: int) -> list[Row]:
    trace_id, run_id, task_id = query.trace_id, query.run_id, query.task_id
    position = {"after_id": after_id, "limit": limit}
    if trace_id is not None:
        return tx.many(
            "otlp.page_of_trace",
            trace_id=trace_id,
            run_id=run_id,
            task_id=task_id,
            **position,
        )
    if run_id is not None:
        return tx.many("otlp.page_of_run", run_id=run_id, task_id=task_id, **position)
    if task_id is not None:
        return tx.many("otlp.page_of_task", task_id=task_id, **position)
    return tx.many("otlp.page", **position)


def _span(row: Row) -> Span:
    return Span(
        id=row["id"],
        batch_id=row["batch_id"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        name=row["name"],
        kind=row["kind"],
        start_time_unix_nano=row["start_time_unix_nano"],
        end_time_unix_nano=row["end_time_unix_nano"],
        status_code=row["status_code"],
        status_message=row["status_message"],
        attributes=Json(row["attributes_json"].encode()),
        resource_attributes=Json(row["resource_attributes_json"].encode()),
        scope_name=row["scope_name"],
        scope_version=row["scope_version"],
        run_id=row["run_id"],
        task_id=row["task_id"],
        raw=Json(row["raw_json"].encode()),
    )
