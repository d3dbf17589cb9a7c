"""The OpenAPI document as one HTML page: no script, nothing to load from elsewhere."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; }
details { padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: .9em ui-monospace, monospace; }
pre { overflow-x: auto; background: #8881; padding: .6rem; border-radius: .3rem; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
.method { display: inline-block; width: 4.2rem; font-weight: 700; }
.path { font-family: ui-monospace, monospace; margin-right: 1rem; }
"""


def docs_page(document: Json) -> str:
    """Return the page for an OpenAPI document."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(
                _operation(path, method, operation)
            )
    sections = "".join(
        f"<h2 id='{escape(tag)}'>{escape(tag)}</h2>{''.join(parts)}"
        for tag, parts in groups.items()
    )
    schemas = "".join(
        f"<details id='schema-{escape(name)}'><summary><code>{escape(name)}</code></summary>"
        f"{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    info = document["info"]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])} The same as data: "
        "<a href='openapi.json'>openapi.json</a>.</p>"
        f"{sections}<h2 id='schemas'>schemas</h2>{schemas}</body></html>\n"
    )


def _operation(path: str, method: str, operation: Json) -> str:
    parts = [f"<p>{_prose(operation['description'])}</p>"]
    if operation["parameters"]:
        rows = "".join(
            f"<tr><td><code>{escape(parameter['name'])}</code></td>"
            f"<td>{escape(parameter['in'])}</td>"
            f"<td><code>{escape(json.dumps(parameter['schema']))}</code></td></tr>"
            for parameter in operation["parameters"]
        )
        parts.append(f"<table>{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, {escape(media)}:</p>{_schema(content)}")
    for status, response in operation["responses"].items():
        parts.append(f"<p><b>{escape(status)}</b> {_prose(response['description'])}</p>")
        if status.startswith("2"):
            parts += [_schema(content) for content in response.get("content", {}).values()]
    return (
        f"<details><summary><span class='method'>{escape(method.upper())}</span>"
        f"<span class='path'>{escape(path)}</span>{escape(operation['summary'])}</summary>"
        f"{''.join(parts)}</details>"
    )


def _prose(text: str) -> str:
    """Return text with what stands between backticks as code."""
    return re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", escape(text), flags=re.DOTALL)


def _schema(content: Json) -> str:
    schema = content.get("schema", {})
    reference = schema.get("$ref")
    if reference is None:
        return _json(schema) if schema else ""
    name = escape(reference.rsplit("/", 1)[1])
    return f"<p><a href='#schema-{name}'><code>{name}</code></a></p>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
