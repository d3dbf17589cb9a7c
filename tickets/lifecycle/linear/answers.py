"""From an HTTP answer of Linear's to data, or to what went wrong.

Linear answers mistakes with 200, 400, 401 and others, and always says in ``errors`` what it
was: ``extensions.type`` in words, ``extensions.code`` in capitals. Both are looked at, because
not every answer has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tickets.lifecycle.linear.errors import (
    AlreadyThere,
    KeyRefused,
    Limited,
    LinearFailure,
    NotThere,
    Passing,
    Refused,
)
from tickets.lifecycle.linear.pace import limited_until_ms

_LIMITED: Final = frozenset({"ratelimited", "rate limited"})
_KEY_REFUSED: Final = frozenset({"authentication error", "unauthenticated", "bootstrap error"})
_PASSING: Final = frozenset(
    {"internal error", "internal server error", "lock timeout", "network error"}
)


def data_of(
    status: int, headers: Mapping[str, str], body: bytes, *, now_ms: int
) -> dict[str, Any]:
    """Return the ``data`` of an answer; ``headers`` have lower-case names.

    Raises LinearFailure, which may be any of its kinds; its text is as long as Linear's.
    """
    document = _document(body)
    errors = document.get("errors")
    if isinstance(errors, list) and errors:
        raise _failure(errors[0], status, headers, now_ms=now_ms)
    if status != 200:
        raise _by_status(status, headers, now_ms=now_ms)
    data = document.get("data")
    if not isinstance(data, dict):
        # Something between us and Linear answered, not Linear.
        raise Passing("the answer is not one of Linear's")
    return data


def _failure(
    error: object, status: int, headers: Mapping[str, str], *, now_ms: int
) -> LinearFailure:
    found: Mapping[str, Any] = error if isinstance(error, dict) else {}
    said = found.get("extensions")
    extensions: Mapping[str, Any] = said if isinstance(said, dict) else {}
    kinds = {_words(extensions.get("type")), _words(extensions.get("code"))}
    text = _text(found, extensions)
    if kinds & _LIMITED or status == 429:
        return Limited(limited_until_ms(headers, now_ms=now_ms))
    if kinds & _KEY_REFUSED or status == 401:
        return KeyRefused(text)
    if kinds & _PASSING or status >= 500:
        return Passing(text)
    return _refusal(text)


def _refusal(text: str) -> Refused:
    """Tell the refusals apart that mean something to us; Linear has no codes for them."""
    words = text.lower()
    if "already exists" in words or "conflict on insert" in words:
        return AlreadyThere(text)
    if "entity not found" in words or "could not find referenced" in words:
        return NotThere(text)
    return Refused(text)


def _by_status(status: int, headers: Mapping[str, str], *, now_ms: int) -> LinearFailure:
    if status == 429:
        return Limited(limited_until_ms(headers, now_ms=now_ms))
    if status == 401:
        return KeyRefused("HTTP 401")
    if status >= 500 or status == 408:
        return Passing(f"HTTP {status}")
    return Refused(f"HTTP {status}")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _words(value: object) -> str:
    return value.lower().replace("_", " ") if isinstance(value, str) else ""


def _text(error: Mapping[str, Any], extensions: Mapping[str, Any]) -> str:
    parts = (error.get("message"), extensions.get("userPresentableMessage"))
    shown = [part for part in parts if isinstance(part, str) and part]
    return ": ".join(dict.fromkeys(shown)) or "refused without a reason"
