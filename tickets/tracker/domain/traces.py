"""OTLP trace exports: from a decoded request to spans ready to be stored."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tickets.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

# Attributes that link a span to the tracker; the first name that is there wins.
RUN_ID_KEYS: Final = ("nulltickets.run_id", "tickets.run_id")
TASK_ID_KEYS: Final = ("nulltickets.task_id", "tickets.task_id")

# Spans, then the same under the name that OTLP used before version 0.15.
_GROUPS: Final = (
    ("scopeSpans", "scope"),
    ("instrumentationLibrarySpans", "instrumentationLibrary"),
)
# In this order; the encodings of a value other than arrays and objects.
_SCALAR_VALUES: Final = ("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_INT64_MAX: Final = 2**63 - 1

_Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as it is stored; times in Unix nanoseconds, ``raw`` is the span as sent."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str | None
    start_time_unix_nano: int | None
    end_time_unix_nano: int | None
    status_code: str | None
    status_message: str | None
    attributes: list[Any]
    resource_attributes: list[Any]
    scope_name: str | None
    scope_version: str | None
    run_id: str | None
    task_id: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an export holds: spans to store, and how many were refused and why."""

    spans: tuple[Span, ...]
    rejected: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Origin:
    """The resource and scope that a group of spans shares."""

    resource_attributes: list[Any]
    scope_name: str | None
    scope_version: str | None


def spans_from_json(document: dict[str, Any]) -> Parsed:
    """Return the spans of an OTLP/JSON ``ExportTraceServiceRequest``.

    Unknown fields are ignored, though ``raw`` keeps those of the span. A span without
    ``traceId`` or ``spanId`` is counted as rejected. A wrong type anywhere in the fields
    that are read refuses the whole export.

    Raises Invalid. Source: docs/api.md, Traces; OTLP specification, JSON encoding.
    """
    spans = []
    rejected = 0
    for where, sent, origin in _sent_spans(document):
        span = _span(sent, origin, where)
        if span is None:
            rejected += 1
        else:
            spans.append(span)
    problem = (
        f"{rejected} spans without traceId or spanId were not stored" if rejected else None
    )
    return Parsed(tuple(spans), rejected, problem)


def spans_from_protobuf(payload: bytes) -> Parsed | None:
    """Return the spans of a binary ``ExportTraceServiceRequest``, or None if it is not one.

    The result is what the same export in JSON would give: ids in lower-case hex, 64-bit
    integers as decimal strings, enumerations as numbers, absent what has its default. So a
    time of 0 is no time, and a span with an empty id is rejected.

    Source: docs/api.md, Traces.
    """
    try:
        request = ExportTraceServiceRequest.FromString(payload)
    except DecodeError:
        return None
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in document.get("resourceSpans", ()):
        _complete_attributes(resource_spans.get("resource", {}))
        for scope_spans in resource_spans.get("scopeSpans", ()):
            for span in scope_spans.get("spans", ()):
                _complete_attributes(span)
                for each in (span, *span.get("links", ())):
                    _ids_to_hex(each)
    return spans_from_json(document)


def _sent_spans(document: _Object) -> Iterator[tuple[str, _Object, _Origin]]:
    """Yield each span with its place in the document and what it shares with its group."""
    for at, resource_spans in _objects(document, "resourceSpans", ""):
        resource = _object(resource_spans, "resource", at)
        resource_attributes = _attributes(resource, f"{at}.resource")
        for spans_key, scope_key in _GROUPS:
            for group_at, group in _objects(resource_spans, spans_key, at):
                scope = _object(group, scope_key, group_at)
                scope_at = f"{group_at}.{scope_key}"
                origin = _Origin(
                    resource_attributes,
                    _text(scope, "name", scope_at),
                    _text(scope, "version", scope_at),
                )
                for span_at, span in _objects(group, "spans", group_at):
                    yield span_at, span, origin


def _span(sent: _Object, origin: _Origin, where: str) -> Span | None:
    """Return the span, or None where it has no ids; its types are checked in any case."""
    trace_id = _text(sent, "traceId", where)
    span_id = _text(sent, "spanId", where)
    name = _text(sent, "name", where)
    status = _object(sent, "status", where)
    attributes = _attributes(sent, where)
    both = (attributes, origin.resource_attributes)
    span = Span(
        trace_id=trace_id or "",
        span_id=span_id or "",
        parent_span_id=_text(sent, "parentSpanId", where),
        name="unnamed" if name is None else name,
        kind=_enum_text(sent, "kind", where),
        start_time_unix_nano=_nano(sent, "startTimeUnixNano", where),
        end_time_unix_nano=_nano(sent, "endTimeUnixNano", where),
        status_code=_enum_text(status, "code", f"{where}.status"),
        status_message=_text(status, "message", f"{where}.status"),
        attributes=attributes,
        resource_attributes=origin.resource_attributes,
        scope_name=origin.scope_name,
        scope_version=origin.scope_version,
        run_id=_linked(both, RUN_ID_KEYS),
        task_id=_linked(both, TASK_ID_KEYS),
        raw=sent,
    )
    return None if trace_id is None or span_id is None else span


def _objects(parent: _Object, key: str, where: str) -> Iterator[tuple[str, _Object]]:
    """Yield the objects of an optional array, each with its place."""
    values = parent.get(key)
    place = f"{where}.{key}" if where else key
    if values is None:
        return
    if not isinstance(values, list):
        raise Invalid.field(place, "must be an array")
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise Invalid.field(f"{place}[{index}]", "must be an object")
        yield f"{place}[{index}]", value


def _object(parent: _Object, key: str, where: str) -> _Object:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid.field(f"{where}.{key}", "must be an object")
    return value


def _text(parent: _Object, key: str, where: str) -> str | None:
    value = parent.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid.field(f"{where}.{key}", "must be a string")
    # A binary export may hold what no JSON body may, and PostgreSQL cannot store it.
    if value is not None and "\0" in value:
        raise Invalid.field(f"{where}.{key}", "must not hold U+0000")
    return value


def _attributes(parent: _Object, where: str) -> list[Any]:
    attributes: list[Any] = []
    for place, attribute in _objects(parent, "attributes", where):
        if not isinstance(attribute.get("key"), str):
            raise Invalid.field(f"{place}.key", "must be a string")
        if "value" not in attribute:
            raise Invalid.field(f"{place}.value", "is required")
        attributes.append(attribute)
    return attributes


def _enum_text(parent: _Object, key: str, where: str) -> str | None:
    value = parent.get(key)
    if value is None or isinstance(value, str):
        return _text(parent, key, where)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid.field(f"{where}.{key}", "must be an integer or a name")
    return str(value)


def _nano(parent: _Object, key: str, where: str) -> int | None:
    """Return a time, or None where it is absent, not a whole number or beyond 64 bits."""
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise Invalid.field(f"{where}.{key}", "must be a string of digits or a number")
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if value is not None and 0 <= value <= _INT64_MAX else None


def _linked(sources: tuple[list[Any], ...], keys: tuple[str, ...]) -> str | None:
    """Return the text of the first of ``keys`` that the first source with one holds."""
    for attributes in sources:
        for key in keys:
            value = next((each["value"] for each in attributes if each["key"] == key), None)
            text = _value_text(value)
            if text is not None and "\0" not in text:
                return text
    return None


def _value_text(value: object) -> str | None:
    """Return an attribute's value as text: a scalar as it is, anything else as JSON."""
    if isinstance(value, dict):
        value = next((value[key] for key in _SCALAR_VALUES if key in value), value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _INT64_MAX:
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _complete_attributes(parent: _Object) -> None:
    """Restore the empty keys and values that the JSON form of a message leaves out."""
    for attribute in parent.get("attributes", ()):
        attribute.setdefault("key", "")
        attribute.setdefault("value", {})


def _ids_to_hex(parent: _Object) -> None:
    """Rewrite ids from base64, as in any other bytes field, to the hex that OTLP/JSON uses."""
    for key in ("traceId", "spanId", "parentSpanId"):
        if key in parent:
            parent[key] = binascii.hexlify(base64.b64decode(parent[key])).decode()
