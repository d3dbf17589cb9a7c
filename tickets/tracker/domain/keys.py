"""Keys of the store in the order of their bytes: ranges, and cursors between them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from tickets.errors import InvalidCursor

_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]+")
_LAST_CHARACTER: Final = "\U0010ffff"


def key_range(prefix: str, after_key: str | None) -> tuple[str, str | None]:
    """Return the first key that may be shown, and the first one that may no more, if any.

    The range holds the keys that begin with ``prefix`` and come after ``after_key``.
    Characters compare by code point, as the bytes of their UTF-8 do.
    """
    first = prefix
    if after_key is not None:
        # No key holds U+0000, so nothing lies between a key and the same with U+0001.
        first = max(prefix, after_key + "\x01")
    head = prefix.rstrip(_LAST_CHARACTER)
    if not head:
        return first, None
    point = ord(head[-1]) + 1
    # Surrogates are no characters; U+E000 comes next.
    return first, head[:-1] + chr(0xE000 if point == 0xD800 else point)


def cursor_after(key: str) -> str:
    """Return a key in letters that pass through headers and query strings unchanged."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def parse_key_cursor(cursor: str) -> str:
    """Return the key in a cursor. Raises InvalidCursor."""
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidCursor
    try:
        key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidCursor from error
    if "\0" in key:
        raise InvalidCursor
    return key
