"""Routing on the path as sent: split, then decoded, so that %2F stays in its segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from falcon import Request, Response
from falcon.routing.util import map_http_methods

from tickets.errors import InvalidPath, MethodNotAllowed

Responder = Callable[..., None]
# Decoded once for each request: authentication and routing both look at the path.
_SEGMENTS = "tickets.path_segments"

Match = tuple[object, dict[str, Responder], dict[str, str], str]


def path_segments(env: dict[str, Any]) -> tuple[str, ...]:
    """Return the decoded, non-empty segments of the request's path.

    ``RAW_URI`` is the target as the client wrote it (gunicorn sets it); a server that does
    not provide it has decoded ``PATH_INFO`` already. A malformed ``%`` stays as it is.

    Raises InvalidPath where a segment is not UTF-8 or holds U+0000.
    """
    known: tuple[str, ...] | None = env.get(_SEGMENTS)
    if known is not None:
        return known
    raw = env.get("RAW_URI")
    if isinstance(raw, str) and raw.isascii() and "%" not in raw and "\0" not in raw:
        plain = tuple(segment for segment in raw.split("?", 1)[0].split("/") if segment)
        env[_SEGMENTS] = plain
        return plain
    path = (
        raw.split("?", 1)[0].encode("latin-1", "surrogateescape")
        if isinstance(raw, str)
        else env.get("PATH_INFO", "").encode("latin-1").replace(b"%", b"%25")
    )
    try:
        segments = tuple(unquote_to_bytes(s).decode() for s in path.split(b"/") if s)
    except UnicodeDecodeError as error:
        raise InvalidPath from error
    if any("\0" in segment for segment in segments):
        raise InvalidPath
    env[_SEGMENTS] = segments
    return segments


def ends_with_slash(env: dict[str, Any]) -> bool:
    """Tell whether the path ends in an empty segment, as where a variable in it was empty."""
    path: str = env.get("RAW_URI", env.get("PATH_INFO", "")).split("?", 1)[0]
    return path.endswith("/")


class _Methods(dict[str, Responder]):
    """The responders of one path; every other method answers 405 with ``Allow``."""

    def __missing__(self, method: str) -> Responder:
        allowed = ", ".join(sorted(self))

        def refuse(_req: Request, resp: Response, **_params: str) -> None:
            resp.set_header("Allow", allowed)
            raise MethodNotAllowed

        return refuse


class _Node:
    """One place in the tree of segments; ``route`` is set where a path ends."""

    __slots__ = ("children", "field", "field_name", "route")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.field: _Node | None = None
        self.field_name = ""
        self.route: tuple[object, _Methods, str] | None = None


class SegmentRouter:
    """A Falcon router over decoded segments; a literal segment goes before a field.

    Where a literal path lacks the method but a field path has it, the field path answers:
    ``GET /tasks/bulk`` is the task called ``bulk``.
    """

    def __init__(self) -> None:
        self._root = _Node()

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Mount ``resource`` under a template such as ``/tasks/{task_id}``."""
        found: dict[str, Any] = dict(map_http_methods(resource, suffix=kwargs.get("suffix")))
        methods = _Methods(found)
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        node = self._root
        for segment in uri_template.strip("/").split("/"):
            if segment.startswith("{"):
                node.field = node.field or _Node()
                node = node.field
                node.field_name = segment[1:-1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.route = (resource, methods, uri_template)

    def find(self, uri: str, req: Request | None = None) -> Match | None:
        """Return resource, responders, parameters and template, or None for no such path."""
        env = req.env if req is not None else {"RAW_URI": uri}
        method = req.method if req is not None else "GET"
        first: Match | None = None
        for match in self._matches(self._root, path_segments(env), {}):
            if method in match[1]:
                return match
            first = first or match
        return first

    def _matches(
        self, node: _Node, segments: tuple[str, ...], params: dict[str, str]
    ) -> Iterator[Match]:
        """Yield what fits, literals first; the first is what nearly every request means."""
        if not segments:
            if node.route is not None:
                resource, methods, template = node.route
                yield (resource, methods, params, template)
            return
        head, rest = segments[0], segments[1:]
        if head in node.children:
            yield from self._matches(node.children[head], rest, params)
        if node.field is not None:
            found = {**params, node.field.field_name: head}
            yield from self._matches(node.field, rest, found)
