"""Exports by the exporters of the OpenTelemetry SDK itself, to a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.common.http import Compression as JsonCompression
from opentelemetry.exporter.otlp.json.http.trace_exporter import (
    OTLPSpanExporter as JsonExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as ProtobufExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from tests.process.serving import Server, running

TOKEN = "an-api-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

MakeExporter = Callable[[str], SpanExporter]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("opentelemetry")
    command = ["-m", "tickets", "serve", "--port", "0", "--db", "tickets.db", "--workers", "1"]
    with running(command, home=home, TICKETS_TOKEN=TOKEN) as server:
        yield server
        assert server.stop() == 0


def finished_span(run_id: str) -> ReadableSpan:
    """Return a span that was made with the SDK as an agent makes it."""
    resource = Resource({"service.name": "agent", "nulltickets.task_id": "task-1"})
    tracer = TracerProvider(resource=resource, shutdown_on_exit=False).get_tracer("lib", "1.2")
    with tracer.start_as_current_span("outer"):
        span = tracer.start_span("call a tool", kind=SpanKind.CLIENT)
        span.set_attributes({"nulltickets.run_id": run_id, "tokens": 12, "ratio": 0.5})
        span.add_event("retried", {"times": 2})
        span.set_status(StatusCode.ERROR, "timed out")
        span.end()
    assert isinstance(span, ReadableSpan)
    return span


def spans_of_run(server: Server, run_id: str) -> list[dict[str, Any]]:
    request = (
        f"GET /traces?run_id={run_id} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    )
    status, _, body = server.exchange(request.encode())
    assert status == 200
    items: list[dict[str, Any]] = json.loads(body)["items"]
    return items


EXPORTERS: dict[str, MakeExporter] = {
    "protobuf": lambda url: ProtobufExporter(url, headers=BEARER),
    "protobuf-gzip": lambda url: ProtobufExporter(
        url, headers=BEARER, compression=Compression.Gzip
    ),
    "protobuf-deflate": lambda url: ProtobufExporter(
        url, headers=BEARER, compression=Compression.Deflate
    ),
    "json": lambda url: JsonExporter(url, headers=BEARER),
    "json-gzip": lambda url: JsonExporter(
        url, headers=BEARER, compression=JsonCompression.GZIP
    ),
    "json-deflate": lambda url: JsonExporter(
        url, headers=BEARER, compression=JsonCompression.DEFLATE
    ),
}


# D-15, D-62
@pytest.mark.parametrize("path", ["/v1/traces", "/otlp/v1/traces"])
@pytest.mark.parametrize("name", EXPORTERS)
def test_a_span_of_the_sdk_arrives_whole(server: Server, name: str, path: str) -> None:
    run_id = f"{name}{path.replace('/', '-')}"
    span = finished_span(run_id)
    exporter = EXPORTERS[name](f"http://{server.host}:{server.port}{path}")

    result = exporter.export([span])
    exporter.shutdown()

    assert result is SpanExportResult.SUCCESS
    (stored,) = spans_of_run(server, run_id)
    assert span.context is not None
    assert span.parent is not None
    assert stored["trace_id"] == f"{span.context.trace_id:032x}"
    assert stored["span_id"] == f"{span.context.span_id:016x}"
    assert stored["parent_span_id"] == f"{span.parent.span_id:016x}"
    assert stored["start_time_unix_nano"] == span.start_time
    assert stored["end_time_unix_nano"] == span.end_time
    assert (stored["name"], stored["task_id"]) == ("call a tool", "task-1")
    assert (stored["scope_name"], stored["scope_version"]) == ("lib", "1.2")
    assert (stored["kind"], stored["status_code"]) == ("3", "2")
    assert stored["status_message"] == "timed out"
    attributes = {each["key"]: each["value"] for each in stored["attributes"]}
    assert int(attributes["tokens"]["intValue"]) == 12
    assert attributes["ratio"] == {"doubleValue": 0.5}
    assert stored["raw"]["events"][0]["name"] == "retried"


def test_an_exporter_with_a_wrong_token_is_told_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    exporter: SpanExporter = ProtobufExporter(
        f"http://{server.host}:{server.port}/v1/traces",
        headers={"Authorization": "Bearer wrong"},
    )

    result = exporter.export([finished_span("refused")])
    exporter.shutdown()

    assert result is SpanExportResult.FAILURE
    assert "401" in caplog.text
    assert spans_of_run(server, "refused") == []
