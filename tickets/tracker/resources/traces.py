"""``/v1/traces`` and ``/traces``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import InvalidCursor, InvalidJson, InvalidLimit, PayloadTooLarge
from tickets.tracker.domain.documents import TraceQuery
from tickets.tracker.domain.records import Span, TracesStored
from tickets.tracker.operations.traces import TraceOperations
from tickets.web.body import parse_object
from tickets.web.encoding import decode_content
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


class TraceIngest:
    """HTTP for trace exports, on the path of the OTLP specification and on an older one."""

    def __init__(self, traces: TraceOperations) -> None:
        self._traces = traces

    @endpoint(
        "Store an OTLP trace export",
        raw_body=(JSON, PROTOBUF),
        request_headers=("Content-Encoding",),
        answer=TracesStored,
        errors=(InvalidJson, PayloadTooLarge),
    )
    def on_post(self, req: Request, _resp: Response) -> TracesStored:
        """``POST /v1/traces`` → 200 ``{"batch_id", "accepted_spans", "stored"}``.

        JSON is read strictly, protobuf (also without a ``Content-Type``) where possible, and
        any other media type is kept as it came. The body may be compressed with gzip or
        deflate. ``partialSuccess`` is there where something was not stored.
        """
        payload = decode_content(
            req.context.body,
            req.get_header("Content-Encoding"),
            limit_bytes=req.context.max_body_bytes,
        )
        content_type = req.content_type or PROTOBUF
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == JSON:
            document = parse_object(payload)
            return self._traces.accept_json(payload, document, content_type=content_type)
        if media_type == PROTOBUF:
            return self._traces.accept_protobuf(payload, content_type=content_type)
        return self._traces.accept_other(payload, content_type=content_type)


class TraceCollection:
    """HTTP for all spans."""

    def __init__(self, traces: TraceOperations) -> None:
        self._traces = traces

    @endpoint(
        "List spans, in the order of their arrival",
        query=TraceQuery,
        answer=Page[Span],
        errors=(InvalidLimit, InvalidCursor),
    )
    def on_get(self, _req: Request, _resp: Response, query: TraceQuery) -> Page[Span]:
        """``GET /traces?run_id=&task_id=&trace_id=&limit=&cursor=`` → 200 page of span."""
        return self._traces.list_spans(query)
