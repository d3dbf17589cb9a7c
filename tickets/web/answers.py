"""Answers as bytes: typed documents in, UTF-8 JSON without white space out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson

encode = msgspec.json.Encoder().encode

EMPTY_OBJECT = msgspec.Raw(b"{}")


def to_json(value: Any) -> str:
    """Return any JSON value as text, integers exact at any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # orjson stops at 64 bits; the standard library writes the integer whole.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def stored(text: str | None) -> msgspec.Raw | None:
    """Return stored JSON text as a part of an answer, without parsing it again."""
    return None if text is None else msgspec.Raw(text.encode())
