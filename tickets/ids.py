"""Ids, lease tokens and what is stored of a token."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time

TOKEN_BYTES = 32
_TIME_MASK = (1 << 48) - 1
# The two upper bits of this digit are those of an RFC 9562 UUID.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_TOKEN_PATTERN = re.compile(r"[0-9a-fA-F]{64}")


def new_id() -> str:
    """Return a UUID (version 4): 36 lower-case characters, those of a later second greater.

    The first 48 bits are the time in milliseconds, the other 74 are random. Rows are mostly
    read and written soon after they were made, and in an index over such ids the young ones
    stand side by side, where those of random ones are scattered over all its pages.
    """
    random_hex = os.urandom(10).hex()
    time_hex = f"{time.time_ns() // 1_000_000 & _TIME_MASK:012x}"
    return (
        f"{time_hex[:8]}-{time_hex[8:]}-4{random_hex[:3]}"
        f"-{_VARIANT[random_hex[3]]}{random_hex[4:7]}-{random_hex[7:19]}"
    )


def new_token() -> str:
    """Return a fresh lease token: 32 random bytes as 64 lower-case hex characters."""
    return secrets.token_hex(TOKEN_BYTES)


def hash_token(token: str) -> bytes | None:
    """Return the SHA-256 of the token's 32 raw bytes, None where it is not 64 hex characters.

    Upper-case hex is accepted. Only this digest is ever stored.
    """
    if _TOKEN_PATTERN.fullmatch(token) is None:
        return None
    return hashlib.sha256(bytes.fromhex(token)).digest()
