"""One declaration for each responder: what goes in, what comes out, who may call.

The declaration is what runs (documents are read, the caller is checked, the answer is
written by it) and what the OpenAPI document is made from, so the two cannot differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from falcon import Request, Response

from tickets.db.repeating import repeated
from tickets.errors import Invalid, InvalidJson, TicketsError, UnsupportedEncoding
from tickets.web.answers import encode
from tickets.web.auth import Access, require
from tickets.web.body import prepare, read_body, read_document
from tickets.web.idempotency import once
from tickets.web.query import read_query

Responder = TypeVar("Responder", bound=Callable[..., Any])

WRITE_METHODS = frozenset({"POST", "PUT", "DELETE", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What a client must know of one method on one path.

    ``answer`` is the type of the 2xx body, or a tuple of types, None where there is none.
    ``also`` lists further statuses with the same body, for a responder that sets them itself.
    ``empty`` says that 204 without a body is an answer too. ``body`` is read and handed over
    as ``document``; ``body_items`` names a field whose items the responder reads itself, and
    their type; ``body_shown`` is a body that is optional and only shown to readers of the
    contract, and ``raw_body`` lists media types that are read from ``req.context.body``.
    ``patience_ms`` is how long it may wait for the database, None for the usual time.
    ``replays_itself`` marks a responder that calls ``once`` on its own, because it waits or
    must not repeat a secret.
    """

    summary: str
    answer: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    empty: bool = False
    body: Any = None
    body_items: tuple[str, Any] | None = None
    body_shown: Any = None
    raw_body: tuple[str, ...] = ()
    body_optional: bool = False
    query: Any = None
    errors: tuple[type[TicketsError], ...] = ()
    access: Access = Access.API
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = ()
    replays_itself: bool = False
    patience_ms: int | None = None


def endpoint(
    summary: str, *, before_body: Callable[..., None] | None = None, **declared: Any
) -> Callable[[Responder], Responder]:
    """Declare a responder ``(self, req, resp, **path, document=, query=) -> answer``.

    ``document`` and ``query`` are handed over where declared. A returned ``None`` is answered
    204. ``before_body(self, req, **path)`` runs where query or body is refused: its error
    goes first, so that a client learns of a lost lease before it learns of a missing field.
    """
    spec = Endpoint(summary=summary, **declared)
    items = None if spec.body_items is None else spec.body_items[1]
    for read in (spec.body, spec.body_shown, spec.query, items):
        if read is not None:
            prepare(read)

    def decorate(work: Responder) -> Responder:
        @functools.wraps(work)
        def respond(self: Any, req: Request, resp: Response, /, **path: str) -> None:
            require(req.context.caller, spec.access)
            arguments: dict[str, Any] = dict(path)
            try:
                _read_arguments(spec, req, arguments)
            except (Invalid, UnsupportedEncoding):
                if before_body is not None:
                    before_body(self, req, **path)
                raise
            resp.status = spec.status
            answer = _answer(spec, req, resp, lambda: work(self, req, resp, **arguments))
            write_answer(resp, answer)

        respond.endpoint = spec  # type: ignore[attr-defined]  # read by the OpenAPI writer
        return respond  # type: ignore[return-value]  # Falcon calls it without documents

    return decorate


def _answer(spec: Endpoint, req: Request, resp: Response, work: Callable[[], Any]) -> Any:
    """Do the work, at most once and, where another writer was in its way, anew."""
    if spec.replays_itself:
        return work()
    if req.method not in WRITE_METHODS:
        return repeated(work)
    return once(req, resp, work, patience_ms=spec.patience_ms)


def _read_arguments(spec: Endpoint, req: Request, arguments: dict[str, Any]) -> None:
    context = req.context
    if spec.query is not None:
        arguments["query"] = read_query(req, spec.query)
    if req.method in WRITE_METHODS:
        context.body = read_body(req, limit_bytes=context.max_body_bytes)
        if spec.body is not None:
            data = context.body
            if spec.body_optional and not data.strip():
                data = b"{}"
            arguments["document"] = _read_document(req, data, spec.body)


def _read_document(req: Request, data: bytes, type_: Any) -> Any:
    try:
        return read_document(data, type_)
    except InvalidJson as error:
        # Only where it cannot be read: some clients say gzip and send none.
        if (req.get_header("Content-Encoding") or "identity").strip().lower() == "identity":
            raise
        raise UnsupportedEncoding from error


def write_answer(resp: Response, answer: Any) -> None:
    """Put ``answer`` on the response: bytes as they are, None as 204, else as JSON."""
    if answer is None:
        resp.status = 204
    elif isinstance(answer, bytes):
        resp.data = answer
    else:
        resp.data = encode(answer)
