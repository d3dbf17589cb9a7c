#!/usr/bin/env python3
"""Write docs/api.md: every operation of the service, each with an exchange that took place.

Usage: api_docs.py [FILE]. The exchanges run against the application itself, on a scratch
database with a clock that stands still; ids and tokens are numbered in order of appearance.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from api_walk import NOW_MS, WALK, Frozen, call, linear

from tickets.app import Application, open_database
from tickets.config import Settings
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.web.auth import Access
from tickets.web.openapi import openapi_document
from tickets.web.routes import Operation, operations

Json = dict[str, Any]

HEADER = """\
# API

Written by `make api-docs` from the code; the exchanges below took place. The same as data is
at `GET /openapi.json`, as a page at `GET /docs`.

Bodies are JSON in UTF-8; no `Content-Type` is needed. Unknown fields are ignored, and `null`
is the same as absent. Times are Unix milliseconds. Every failure has one shape
([errors](errors.md)). Every write takes an `Idempotency-Key`
([lifecycle](lifecycle.md#repeating-a-write)). Every answer has an `X-Request-Id`. A trailing or
doubled slash makes no difference.

Lists are pages `{"items": […], "next_cursor": …}`: pass `next_cursor` as `cursor` for the next
page, until it is null. Bare arrays are whole; with `limit` they are cut, and the header
`X-Next-Cursor` says where to go on.

Where the server has an API token, send it as `Authorization: Bearer …`. *Lease* below means the
token that the claim returned; *API or lease* means either; *public* needs none.
"""
ACCESS = {
    Access.PUBLIC: "public",
    Access.API: "API token",
    Access.READER: "API or lease token",
    Access.LEASE: "lease token",
}
SHOWN_CHARACTERS = 1400

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"\b[0-9a-f]{64}\b")


class Names:
    """Random ids and tokens of one run, numbered in order of appearance."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    def steady(self, text: str) -> str:
        """Return the text as any other run would have it."""
        text = _ID.sub(lambda found: self._numbered(self._ids, found[0], _id), text)
        text = _TOKEN.sub(lambda found: self._numbered(self._tokens, found[0], _token), text)
        return re.sub(r'"(sqlite_)?version":"[^"]+"', r'"\1version":"…"', text)

    @staticmethod
    def _numbered(known: dict[str, str], found: str, name: Any) -> str:
        return known.setdefault(found, name(len(known) + 1))


def _id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def _token(number: int) -> str:
    return f"{number:064x}"


def exchanges(app: Application) -> dict[tuple[str, str], str]:
    """Walk through the service; return each operation's first exchange as Markdown."""
    kept: dict[str, str] = {}
    names = Names()
    shown: dict[tuple[str, str], str] = {}
    for step in WALK:
        status, answer, target, body = call(app, step, kept)
        curl = [f"curl -X {step.method} 'localhost:7700{target}'"]
        if step.token_of:
            curl.append(f"  -H 'Authorization: Bearer {kept[step.token_of]}'")
        if step.signed_with:
            curl.append("  -H 'Linear-Signature: …'")
        if body:
            curl.append(f"  -d '{body}'")
        text = names.steady(" \\\n".join(curl) + f"\n\n{status}\n{_abridged(answer)}".rstrip())
        shown.setdefault((step.method, step.template), f"```text\n{text}\n```\n")
    return shown


def _abridged(answer: bytes) -> str:
    text = answer.decode().strip()
    return text if len(text) <= SHOWN_CHARACTERS else text[:300].rsplit("\n", 1)[0] + " …"


def kind_of(schema: Json) -> str:
    """Return a schema in a few words."""
    if "anyOf" in schema:
        kinds = [kind_of(kind) for kind in schema["anyOf"]]
        return " or ".join(kinds)
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", maxsplit=1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {kind_of(schema.get('items', {}))}"
    bounds = {
        "minimum": "≥ {}",
        "maximum": "≤ {}",
        "minLength": "at least {} long",
        "maxLength": "at most {} long",
        "minItems": "at least {}",
        "maxItems": "at most {}",
    }
    words = [text.format(schema[key]) for key, text in bounds.items() if key in schema]
    return ", ".join([schema.get("type", "any JSON"), *words])


def fields(schema: Json) -> str:
    """Return the fields of a document as a table."""
    lines = ["| field | type | |", "| --- | --- | --- |"]
    required = schema.get("required", ())
    for name, kind in schema["properties"].items():
        default = kind.get("default")
        note = "required" if name in required else ""
        if default is not None:
            note = f"default {default}"
        lines.append(f"| `{name}` | {kind_of(kind)} | {note} |")
    return "\n".join(lines)


def section(operation: Operation, exchange: str, components: Json) -> str:
    """Return one operation as Markdown."""
    spec = operation.endpoint
    tables = [
        f"{title}:\n\n{fields(components[type_.__name__])}\n\n"
        for title, type_ in (("Query", spec.query), ("Body", spec.body or spec.body_shown))
        if type_ is not None
    ]
    codes = sorted({(error.status, error.code) for error in spec.errors})
    refusals = ", ".join(f"{status} `{code}`" for status, code in codes)
    return (
        f"### `{operation.method} {operation.path}`\n\n"
        f"{spec.summary}. Access: {ACCESS[spec.access]}."
        + (f" Refusals of its own: {refusals}." if refusals else "")
        + f"\n\n{inspect.cleandoc(operation.description)}\n\n{''.join(tables)}{exchange}"
    )


def documents(components: Json) -> str:
    """Return the documents that others refer to."""
    named = re.findall(r"schemas/(\w+)", json.dumps(components))
    parts = ["## Documents\n"]
    for name in sorted(set(named)):
        schema = components[name]
        parts.append(f"#### {name}\n\n{schema.get('description', '')}\n\n{fields(schema)}\n")
    return "\n".join(parts)


def page() -> str:
    """Return the whole page."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(db=Path(directory) / "scratch.db", wait_slots=0)
        db = open_database(settings)
        migrate(db, sql_root(), NOW_MS)
        app = Application(db, settings, Frozen(), random_unit=lambda: 0.5, linear=linear)
        shown = exchanges(app)
        parts, heading = [HEADER], ""
        components: Json = openapi_document(app.routes)["components"]["schemas"]
        for operation in operations(app.routes):
            family = operation.path.strip("/").split("/")[0]
            if family != heading:
                heading = family
                parts.append(f"## {family}\n")
            exchange = shown[operation.method, operation.path]
            parts.append(section(operation, exchange, components))
        db.close()
    parts.append(documents(components))
    return "\n".join(parts)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api.md")
    target.write_text(page(), encoding="utf-8")
