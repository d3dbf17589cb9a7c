"""Whether a webhook is Linear's, and one of now.

Source: https://linear.app/developers/webhooks#securing-webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_SECRETS: Final = 2

_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# Fifteen digits of milliseconds last until the year 33658.
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
# Linear's are UUIDs; what is no such short word is not kept as a key.
_ID: Final = re.compile(r"[!-~]{1,100}")


def sign(body: bytes, secret: str) -> str:
    """Return what Linear sends as ``Linear-Signature`` with this body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Tell whether the signature is that of exactly these bytes under one of the secrets.

    Every secret is tried, so that how long it takes does not tell which one it was.
    """
    if signature is None or _HEX_DIGEST.fullmatch(signature) is None:
        return False
    matches = [hmac.compare_digest(sign(body, secret), signature) for secret in secrets]
    return any(matches)


def sent_at_ms(payload: Mapping[str, Any], header: str | None) -> int | None:
    """Return when a webhook says that it was sent, None where it does not say.

    The body goes first: it is signed, and the header ``Linear-Timestamp`` is not.
    """
    stamp = payload.get("webhookTimestamp")
    if stamp is not None:
        return stamp if isinstance(stamp, int) and not isinstance(stamp, bool) else None
    if header is not None and _DIGITS.fullmatch(header) is not None:
        return int(header)
    return None


def is_fresh(stamp_ms: int | None, *, now_ms: int, window_ms: int) -> bool:
    """Tell whether a webhook was sent at most ``window_ms`` ago, or as much ahead of us."""
    return stamp_ms is not None and abs(now_ms - stamp_ms) <= window_ms


def delivery_key(body: bytes, header: str | None) -> str:
    """Return what a delivery is known by: Linear's id for it, else the hash of its body."""
    if header is not None and _ID.fullmatch(header) is not None:
        return header
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
