"""The OpenAPI document with links: which answers name what other calls need."""

from __future__ import annotations

import re
from typing import Any

from tests.factories import Json
from tickets.app import openapi_document

# What an answer names, and where.
MADE = {
    "POST /pipelines": {"pipeline_id": "id"},
    "POST /tasks": {"task_id": "id"},
    "POST /leases/claim": {"run_id": "run/id", "lease_id": "lease_id"},
}
# What comes next although its path names nothing: a body, or nothing at all.
NEXT: dict[str, dict[str, Json | None]] = {
    "POST /pipelines": {"POST /tasks": {"pipeline_id": "$response.body#/id"}},
    "POST /tasks": {"POST /leases/claim": None},
    "GET /pipelines/{pipeline_id}": {
        "POST /tasks": {"pipeline_id": "$request.path.pipeline_id"}
    },
}


def linked_document() -> Json:
    """Return the document with a link from each answer to all that can be asked with it."""
    document: Json = openapi_document()
    # Tickets would take most of the calls, and nearly all would name none that is there.
    document["paths"] = {
        path: methods
        for path, methods in document["paths"].items()
        if not path.startswith(("/ticket", "/workspaces"))
    }
    named = {
        f"{method.upper()} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    for label, pointers in MADE.items():
        operation = named[label]
        known = {name: f"$response.body#/{pointer}" for name, pointer in pointers.items()}
        links = {
            target: _link(named[target], {name: known[name] for name in _parameters(target)})
            for target in named
            if set() < _parameters(target) <= set(known)
        }
        for target, body in NEXT.get(label, {}).items():
            links[target] = _link(named[target], {}, body)
        made = next(status for status in ("201", "200") if status in operation["responses"])
        operation["responses"][made]["links"] = {
            re.sub(r"\W+", "_", name): link for name, link in links.items()
        }
    return document


def _parameters(label: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", label))


def _link(target: Json, parameters: dict[str, str], body: Any = None) -> Json:
    link: Json = {"operationId": target["operationId"], "parameters": parameters}
    return link if body is None else {**link, "requestBody": body}
