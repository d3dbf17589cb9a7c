"""Ids, lease tokens and what is stored of a token."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid

TOKEN_BYTES = 32
_TOKEN_PATTERN = re.compile(r"[0-9a-fA-F]{64}")


def new_id() -> str:
    """Return a random UUID (version 4): 36 lower-case characters."""
    return str(uuid.uuid4())


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
