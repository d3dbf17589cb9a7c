"""``/openapi.json`` and ``/docs``: what the service can do, for programs and for people."""

from __future__ import annotations

from typing import Any

from falcon import MEDIA_HTML, Request, Response

from tickets.web.answers import encode
from tickets.web.auth import Access
from tickets.web.docs import docs_page
from tickets.web.endpoint import endpoint
from tickets.web.openapi import openapi_document
from tickets.web.routes import Route


class Discovery:
    """The documents of one application, written once from its routes on first use."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes
        self._json: bytes | None = None
        self._html: bytes | None = None

    def json(self) -> bytes:
        """Return the OpenAPI document."""
        if self._json is None:
            self._json = encode(openapi_document(self._routes))
        return self._json

    def html(self) -> bytes:
        """Return the same as a page."""
        if self._html is None:
            self._html = docs_page(openapi_document(self._routes)).encode()
        return self._html


class OpenApiItem:
    """HTTP for the OpenAPI document."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    @endpoint("Get the OpenAPI document", answer=dict[str, Any], access=Access.PUBLIC)
    def on_get(self, _req: Request, _resp: Response) -> bytes:
        """``GET /openapi.json`` and ``GET /.well-known/openapi.json`` → 200 the document."""
        return self._discovery.json()


class DocsItem:
    """HTTP for the OpenAPI document as a page."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    @endpoint(
        "Read the API as a page", answer=str, media_type="text/html", access=Access.PUBLIC
    )
    def on_get(self, _req: Request, resp: Response) -> bytes:
        """``GET /docs`` → 200 HTML without anything to load."""
        resp.content_type = MEDIA_HTML
        return self._discovery.html()
