"""What goes wrong between us and Linear, and how Linear says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError

from tickets.lifecycle.linear.errors import Passing
from tickets.lifecycle.linear.transport import Answer


@dataclass(frozen=True)
class Fault:
    """What happens to one request; ``performed`` says that it takes effect all the same."""

    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    performed: bool = False
    is_lost: bool = False


SERVER_ERROR = Fault(500, b"<html>upstream</html>")
LOST_REQUEST = Fault(is_lost=True)
LOST_RESPONSE = Fault(is_lost=True, performed=True)


def refusal(
    status: int, message: str, *, headers: Mapping[str, str] | None = None, **extensions: Any
) -> Fault:
    """Return a fault that Linear explains."""
    error = {"message": message, "extensions": extensions}
    return Fault(status, json.dumps({"errors": [error], "data": None}).encode(), headers or {})


def nowhere(_url: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
    """Be a network without Linear."""
    raise Passing("no answer from Linear (ConnectionRefusedError)")


def rate_limited(**headers: str) -> Fault:
    """Return a refusal because of too many requests; ``retry_after`` is its Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(400, "Rate limit exceeded", headers=named, code="RATELIMITED")


def not_found(entity: str, _: str) -> GraphQLError:
    """Return the error for something that Linear does not have."""
    return GraphQLError(
        f"Entity not found: {entity}",
        extensions={
            "type": "invalid input",
            "code": "INPUT_ERROR",
            "statusCode": 400,
            "userError": True,
            "userPresentableMessage": f"Could not find referenced {entity}.",
        },
    )


def taken(entity: str, id_: str) -> GraphQLError:
    """Return the error for an id that is in use."""
    return GraphQLError(
        f"conflict on insert of {entity}",
        extensions={
            "type": "invalid input",
            "code": "INPUT_ERROR",
            "statusCode": 400,
            "userError": True,
            "userPresentableMessage": f"Entity {entity} with id {id_} already exists.",
        },
    )
