"""Pages of a list: ``limit``, ``cursor`` and ``next_cursor``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec

from tickets.errors import InvalidCursor

MAX_LIMIT = 1000
MAX_INT64 = 2**63 - 1

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]

T = TypeVar("T")
R = TypeVar("R")

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page; ``next_cursor`` is null on the last one."""

    items: list[T]
    next_cursor: str | None


def make_page(
    rows: Sequence[R], *, limit: int, make: Callable[[R], T], cursor: Callable[[R], str]
) -> Page[T]:
    """Return a page from up to ``limit + 1`` rows; the extra row only tells that there is more.

    ``next_cursor`` names the last row returned, so that the next page starts after it.
    """
    items, next_cursor = cut(rows, limit=limit, make=make, cursor=cursor)
    return Page(items=items, next_cursor=next_cursor)


def rows_wanted(limit: int | None) -> int:
    """Return how many rows to ask for: one more than is shown, or all there are."""
    return MAX_INT64 if limit is None else limit + 1


def cut(
    rows: Sequence[R], *, limit: int | None, make: Callable[[R], T], cursor: Callable[[R], str]
) -> tuple[list[T], str | None]:
    """Return the first ``limit`` rows and where the rest begins, None without a rest."""
    shown = rows if limit is None else rows[:limit]
    items = [make(row) for row in shown]
    return items, cursor(shown[-1]) if len(rows) > len(shown) else None


def parse_id_cursor(cursor: str) -> int:
    """Return the id in a cursor of a list ordered by id. Raises InvalidCursor."""
    if _INTEGER.fullmatch(cursor) is None or abs(int(cursor)) > MAX_INT64:
        raise InvalidCursor
    return int(cursor)


def parse_time_cursor(cursor: str) -> tuple[int, str]:
    """Return ``(created_at_ms, id)`` from a cursor ``<created_at_ms>:<id>``.

    Raises InvalidCursor.
    """
    time, colon, id_ = cursor.partition(":")
    if not colon or not id_:
        raise InvalidCursor
    return parse_id_cursor(time), id_
