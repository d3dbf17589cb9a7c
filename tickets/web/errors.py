"""Failure → body: the only place where an exception becomes a response."""

from __future__ import annotations

import logging
from typing import Any

import falcon
from falcon import App, Request, Response

from tickets.errors import (
    Busy,
    Invalid,
    InvalidJson,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TicketsError,
    UnsupportedEncoding,
)
from tickets.web.answers import encode
from tickets.web.conditions import ETAG_HEADER, etag

# Locks are held for milliseconds; a client that waits a second finds the queue gone.
RETRY_AFTER_S = 1

logger = logging.getLogger(__name__)

_FALCON_ERRORS: dict[type[falcon.HTTPError], type[TicketsError]] = {
    falcon.HTTPNotFound: NotFound,
    falcon.HTTPMethodNotAllowed: MethodNotAllowed,
    falcon.HTTPPayloadTooLarge: PayloadTooLarge,
    falcon.MediaMalformedError: InvalidJson,
}


def add_error_handlers(app: App[Request, Response]) -> None:
    """Answer every failure of ``app`` with the one error body."""
    app.add_error_handler(Exception, _on_bug)
    app.add_error_handler(falcon.HTTPError, _on_falcon_error)
    app.add_error_handler(TicketsError, _on_known_error)
    app.set_error_serializer(lambda *_: None)


def error_body(error: TicketsError) -> bytes:
    """Return ``{"error": {"code": str, "message": str, "details"?: any}}``."""
    shown: dict[str, Any] = {"code": error.code, "message": error.text}
    if error.details is not None:
        shown["details"] = error.details
    return encode({"error": shown})


def _on_known_error(
    req: Request, resp: Response, error: TicketsError, _params: dict[str, Any]
) -> None:
    if error.status == TicketsError.status and error.__cause__ is not None:
        _log_bug(req, error)
    resp.status = error.status
    resp.data = error_body(error)
    resp.content_type = falcon.MEDIA_JSON
    if isinstance(error, Busy):
        resp.set_header("Retry-After", str(RETRY_AFTER_S))
    if error.version is not None:
        resp.set_header(ETAG_HEADER, etag(error.version))
    if error.status == 401:
        resp.set_header("WWW-Authenticate", "Bearer")
    if isinstance(error, UnsupportedEncoding):
        resp.set_header("Accept-Encoding", "identity")


def _on_falcon_error(
    req: Request, resp: Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    known = next(
        (ours for theirs, ours in _FALCON_ERRORS.items() if isinstance(error, theirs)), Invalid
    )
    _on_known_error(req, resp, known(error.description), params)
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)


def _log_bug(req: Request, error: Exception) -> None:
    logger.error("%s %s failed", req.method, req.path, exc_info=error)


def _on_bug(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    _log_bug(req, error)
    _on_known_error(req, resp, TicketsError(), params)
