"""Routes as data: one list that is mounted, documented and printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tickets.web.endpoint import Endpoint

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Route(NamedTuple):
    """A path template and the resource that answers there."""

    path: str
    resource: object


class Operation(NamedTuple):
    """One method on one path, with its declaration and the first words of its docstring."""

    path: str
    method: str
    endpoint: Endpoint
    description: str


def operations(routes: list[Route]) -> Iterator[Operation]:
    """Yield every operation, in the order of the routes."""
    for path, resource in routes:
        for method in METHODS:
            responder = getattr(resource, f"on_{method.lower()}", None)
            if responder is not None:
                yield Operation(path, method, responder.endpoint, responder.__doc__ or "")
