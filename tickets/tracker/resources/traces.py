"""``/v1/traces`` and ``/traces``."""

from __future__ import annotations

from contextlib import suppress

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidJson, InvalidLimit, PayloadTooLarge
from tickets.tracker.domain.documents import TraceQuery
from tickets.tracker.domain.records import Span, TracesStored
from tickets.tracker.operations.traces import TraceOperations
from tickets.web.body import parse_object
from tickets.web.encoding import decode_content
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
# What curl says of a body where its user said nothing.
FORM = "application/x-www-form-urlencoded"


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

        JSON is read strictly, protobuf where possible, and any other media type is kept as
        it came. Without a ``Content-Type``, or with the one of forms that curl sends, JSON is
        read where it is JSON; else the body is taken for protobuf, or kept. The body may be
        compressed with gzip or deflate. ``partialSuccess`` is there where something was not
        stored.
        """
        payload = decode_content(
            req.context.body,
            req.get_header("Content-Encoding"),
            limit_bytes=req.context.max_body_bytes,
        )
        content_type = req.content_type or PROTOBUF
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == JSON:
            return self._accept_json(payload, content_type)
        if media_type == PROTOBUF:
            if not req.content_type and _may_be_json(payload):
                with suppress(Invalid):
                    return self._accept_json(payload, content_type)
            return self._traces.accept_protobuf(payload, content_type=content_type)
        problem = None
        if media_type == FORM and _may_be_json(payload):
            try:
                return self._accept_json(payload, content_type)
            except Invalid as error:
                problem = f"no span was stored: {error.text}"
        return self._traces.accept_other(payload, content_type=content_type, problem=problem)

    def _accept_json(self, payload: bytes, content_type: str) -> TracesStored:
        document = parse_object(payload)
        return self._traces.accept_json(payload, document, content_type=content_type)


def _may_be_json(payload: bytes) -> bool:
    """Tell whether it is worth trying; a binary export may begin like this too."""
    return payload.lstrip()[:1] == b"{"


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
