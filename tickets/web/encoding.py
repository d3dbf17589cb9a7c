"""``Content-Encoding`` of request bodies, undone within bounds."""

from __future__ import annotations

import zlib
from typing import Final

from tickets.errors import Invalid, PayloadTooLarge

# What zlib calls the formats: gzip, and the zlib format that HTTP calls deflate.
_WINDOW_BITS: Final = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}


def decode_content(data: bytes, content_encoding: str | None, *, limit_bytes: int) -> bytes:
    """Return a body as it was before its ``Content-Encoding`` was applied.

    Known are gzip, deflate and identity, one at a time. Raises Invalid for another encoding
    and for a body that is not what its header says, PayloadTooLarge where the decoded body
    would be larger than ``limit_bytes``; no more than that is ever held.

    Source: RFC 9110, section 8.4.
    """
    name = (content_encoding or "").strip().lower()
    if name in ("", "identity"):
        return data
    if name not in _WINDOW_BITS:
        raise Invalid.field("Content-Encoding", "must be gzip, deflate or identity")
    decoder = zlib.decompressobj(_WINDOW_BITS[name])
    try:
        decoded = decoder.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise Invalid.field("Content-Encoding", f"the body is not {name}: {error}") from error
    if len(decoded) > limit_bytes:
        raise PayloadTooLarge(f"The decoded body is larger than {limit_bytes} bytes")
    if not decoder.eof or decoder.unused_data:
        raise Invalid.field("Content-Encoding", f"the body is not one whole {name} stream")
    return decoded
