"""The OpenAPI document, written from the routes and the documents they declare."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from tickets import __version__
from tickets.errors import (
    Busy,
    DatabaseReplaced,
    IdempotencyConflict,
    Invalid,
    InvalidJson,
    PayloadTooLarge,
    StorageFull,
    TicketsError,
    Unauthorized,
    UnsupportedEncoding,
)
from tickets.web.auth import Access
from tickets.web.endpoint import WRITE_METHODS, Endpoint
from tickets.web.routes import Operation, Route, operations

OPENAPI_VERSION = "3.1.0"

_FIELD = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"

Json = dict[str, Any]

_ERROR_SCHEMA: Json = {
    "title": "Error",
    "description": "The body of every failure; clients switch on the code.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {},
            },
        }
    },
}

_ETAGS = {"type": "string", "pattern": r'^(\*|[0-9]{1,18}|(W/)?"[0-9]{1,18}")$'}
_HEADER_SCHEMAS: Json = {
    "X-Lease-Token": {"type": "string"},
    "X-Actor": {"type": "string", "pattern": "^(user|user:.+|agent:.+)$", "maxLength": 512},
    "Linear-Signature": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "Linear-Delivery": {"type": "string", "maxLength": 128},
    "Linear-Timestamp": {"type": "string", "pattern": "^[0-9]{1,15}$"},
    "If-Match": _ETAGS,
    "If-None-Match": _ETAGS,
    "X-Workspace-Id": {"type": "string", "minLength": 1, "maxLength": 200},
    # An empty list of encodings is none. Source: RFC 9110, sections 5.6.1 and 8.4.
    "Content-Encoding": {"type": "string", "enum": ["identity", "gzip", "deflate", ""]},
}
# JSON bodies that a responder reads itself are objects, whatever else they must be.
_RAW_SCHEMAS: Json = {"application/json": {"schema": {"type": "object"}}}

_SECURITY_SCHEMES: Json = {
    "apiToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The API token, where the server was started with one.",
    },
    "leaseToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that a claim returned, while its lease runs.",
    },
}

_SECURITY: dict[Access, list[Json]] = {
    Access.PUBLIC: [{}],
    Access.API: [{}, {"apiToken": []}],
    Access.READER: [{}, {"apiToken": []}, {"leaseToken": []}],
    Access.LEASE: [{"leaseToken": []}, {"apiToken": []}],
}


def openapi_document(routes: list[Route]) -> Json:
    """Return the whole document."""
    found = list(operations(routes))
    types = _types(found)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    for operation in found:
        _show_items(operation.endpoint, components, schema_of)
    paths: Json = defaultdict(dict)
    for operation in found:
        paths[operation.path][operation.method.lower()] = _operation(
            operation, components, schema_of
        )
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Tickets",
            "version": __version__,
            "description": "A headless task tracker and lease coordinator for AI agents.",
        },
        "paths": dict(paths),
        "components": {
            "schemas": {"Error": _ERROR_SCHEMA, **components},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _types(found: Iterable[Operation]) -> list[Any]:
    types: dict[str, Any] = {}
    for operation in found:
        spec = operation.endpoint
        items = spec.body_items[1] if spec.body_items is not None else None
        answers = spec.answer if isinstance(spec.answer, tuple) else (spec.answer,)
        for type_ in (*answers, spec.body, spec.body_shown, spec.query, items):
            if type_ is not None:
                types[repr(type_)] = type_
    return list(types.values())


def _show_items(spec: Endpoint, components: Json, schema_of: Json) -> None:
    """Show the type of items that the responder reads one by one."""
    if spec.body_items is not None:
        field, type_ = spec.body_items
        body = components[spec.body.__name__]["properties"]
        body[field] = {**body[field], "items": schema_of[repr(type_)]}


def _operation(operation: Operation, components: Json, schema_of: Json) -> Json:
    spec = operation.endpoint
    shown: Json = {
        "summary": spec.summary,
        "description": inspect.cleandoc(operation.description),
        "operationId": _operation_id(operation),
        "tags": [operation.path.strip("/").split("/")[0]],
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, schema_of),
        "security": _SECURITY[spec.access],
    }
    body = _request_body(spec, schema_of)
    if body is not None:
        shown["requestBody"] = body
    return shown


def _operation_id(operation: Operation) -> str:
    words = re.sub(r"[^0-9a-zA-Z]+", "_", _FIELD.sub(r"by_\1", operation.path)).strip("_")
    return f"{operation.method.lower()}_{words}"


def _parameters(operation: Operation, components: Json) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _FIELD.findall(operation.path)
    ]
    if operation.endpoint.query is not None:
        document = components[operation.endpoint.query.__name__]
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in document["required"],
                "schema": _not_null(schema),
            }
            for name, schema in document["properties"].items()
        ]
    if operation.method in WRITE_METHODS:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Repeating a request with the same key and body is safe.",
                "schema": {"type": "string", "maxLength": 512},
            }
        )
    parameters += [
        {"name": name, "in": "header", "schema": _HEADER_SCHEMAS[name]}
        for name in operation.endpoint.request_headers
    ]
    return parameters


def _not_null(schema: Json) -> Json:
    """Return a parameter's schema: it is absent, never null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    shown = {**schema, **kinds[0]} if len(kinds) == 1 else dict(schema)
    shown.pop("anyOf", None)
    if shown.get("default", 0) is None:
        del shown["default"]
    if "enum" in shown:
        # The words of a query are text; msgspec leaves their type to be guessed.
        shown["type"] = "string"
    return shown


def _request_body(spec: Endpoint, schema_of: Json) -> Json | None:
    if spec.raw_body:
        return {
            "required": False,
            "content": {media: _RAW_SCHEMAS.get(media, {}) for media in spec.raw_body},
        }
    type_ = spec.body if spec.body is not None else spec.body_shown
    if type_ is None:
        return None
    return {
        "required": spec.body is not None and not spec.body_optional,
        "content": {"application/json": {"schema": schema_of[repr(type_)]}},
    }


def _responses(operation: Operation, schema_of: Json) -> Json:
    spec = operation.endpoint
    headers = {name: {"schema": {"type": "string"}} for name in spec.headers}
    success: Json = {"description": spec.summary}
    if headers:
        success["headers"] = headers
    if spec.answer is not None:
        success["content"] = {spec.media_type: {"schema": _answer(spec.answer, schema_of)}}
    responses: Json = {str(status): success for status in (spec.status, *spec.also)}
    if spec.empty:
        responses["204"] = {"description": "Nothing there", "headers": headers}
    codes: dict[int, set[str]] = defaultdict(set)
    for error in (*spec.errors, *_common_errors(operation)):
        codes[error.status].add(error.code)
    for status in sorted(codes):
        names = sorted(codes[status])
        responses[str(status)] = {
            "description": ", ".join(f"`{name}`" for name in names),
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "examples": {
                        name: {"value": {"error": {"code": name, "message": "…"}}}
                        for name in names
                    },
                }
            },
        }
    return responses


def _answer(type_: Any, schema_of: Json) -> Json:
    if isinstance(type_, tuple):
        return {"oneOf": [schema_of[repr(kind)] for kind in type_]}
    schema: Json = schema_of[repr(type_)]
    return schema


def _common_errors(operation: Operation) -> Iterable[type[TicketsError]]:
    spec = operation.endpoint
    yield Invalid
    if spec.access is not Access.PUBLIC:
        yield Unauthorized
    yield Busy
    yield DatabaseReplaced
    if operation.method in WRITE_METHODS:
        yield from (IdempotencyConflict, PayloadTooLarge, StorageFull)
        if spec.body is not None or spec.raw_body:
            yield InvalidJson
        if spec.body is not None:
            yield UnsupportedEncoding
