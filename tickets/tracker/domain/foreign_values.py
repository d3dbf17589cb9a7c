"""Values of another program's database, as values that every reader here can take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from tickets.tracker.domain.documents import MAX_INT64, MIN_INT64

Row: TypeAlias = Mapping[str, Any]

# Deeper values cannot be sent here, and reading them back could exhaust a thread's stack.
_MAX_DEPTH: Final = 128
# Python refuses to read longer ones, which keeps a short text from becoming a long wait.
_MAX_INTEGER_DIGITS: Final = 4000
_NUL_ESCAPE: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def readable_json(text: str) -> str:
    r"""Return ``text`` where everything here can read it, else the nearest JSON to it.

    U+0000 becomes ``\x00``, a number beyond every reader becomes a string of its digits,
    and what is no JSON, or too deep, becomes one string that holds the text.
    """
    if "\\u0000" in text:
        text = _NUL_ESCAPE.sub(r"\1\\\\x00", text)
    try:
        value = msgspec.json.decode(text)
        if _is_deep(text, value):
            return _encoded(text)
        return text
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _rewritten(text)


def _rewritten(text: str) -> str:
    try:
        value = json.loads(text, parse_float=_float, parse_int=_int, parse_constant=str)
        if _is_deep(text, value):
            return _encoded(text)
        rewritten = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        rewritten.encode()
    except (ValueError, RecursionError):
        return _encoded(text)
    return rewritten


def _encoded(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int(text: str) -> int | str:
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else text


def _is_deep(text: str, value: object) -> bool:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return False
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def texts(row: Row, *names: str) -> dict[str, str]:
    """Return columns that are never null."""
    return {name: plain(row[name]) for name in names}


def optional_texts(row: Row, *names: str) -> dict[str, str | None]:
    """Return columns that may be null."""
    return {name: None if row[name] is None else plain(row[name]) for name in names}


def plain(value: object) -> str:
    """Return a value as text; null is empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace").replace("\0", "\\x00")
    return "" if value is None else str(value)


def integer(value: object, default: int = 0) -> int:
    """Return a value as 64-bit integer; ``default`` where it is none."""
    number = optional_integer(value)
    return default if number is None else number


def optional_integer(value: object) -> int | None:
    """Return a value as 64-bit integer, or None where it is none."""
    if isinstance(value, str | float):
        try:
            value = int(value)
        except (ValueError, OverflowError):
            return None
    if not isinstance(value, int):
        return None
    return min(max(MIN_INT64, value), MAX_INT64)
