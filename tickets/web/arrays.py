"""Bare arrays that can be cut: the next cursor goes into a header, the body stays an array."""

from __future__ import annotations

from typing import TypeVar

from falcon import Response

T = TypeVar("T")

NEXT_CURSOR_HEADER = "X-Next-Cursor"


def cut_array(resp: Response, part: tuple[list[T], str | None]) -> list[T]:
    """Return the items; where the list was cut, ``X-Next-Cursor`` says where to go on."""
    items, next_cursor = part
    if next_cursor is not None:
        resp.set_header(NEXT_CURSOR_HEADER, next_cursor)
    return items
