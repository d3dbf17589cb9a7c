"""Leases: who may act on one, until when, and how far a heartbeat reaches."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from tickets.errors import LeaseExpired, Unauthorized

DEFAULT_TTL_MS = 300_000
# Clients that run a prompt in the loop that also sends heartbeats are minutes late; they
# have always been given five from the last heartbeat, whatever they asked for at first.
HEARTBEAT_FLOOR_MS = 300_000
TAKEN_AWAY = "taken_away"


def check_usable(lease: Mapping[str, Any], *, token_hash: bytes | None, now_ms: int) -> None:
    """Return where the caller holds the lease and it still runs.

    ``token_hash`` None is the operator, who needs no lease token. Raises Unauthorized for a
    wrong token, then LeaseExpired once ``now_ms`` reaches ``expires_at_ms`` or the lease was
    taken away, with the reason for that: both are told only to its holder.

    Source: docs/lifecycle.md, Leases.
    """
    if token_hash is not None and not hmac.compare_digest(lease["token_hash"], token_hash):
        raise Unauthorized("The bearer token is not the token of this lease")
    if lease["lease_status"] == "revoked":
        # A task that was queued again since has lost its reason.
        raise LeaseExpired(details={"reason": lease["dead_letter_reason"] or TAKEN_AWAY})
    if lease["lease_status"] != "active" or lease["expires_at_ms"] <= now_ms:
        raise LeaseExpired


def extended_until_ms(
    *, ttl_ms: int, expires_at_ms: int, asked_ttl_ms: int | None, now_ms: int
) -> int:
    """Return when a lease ends after a heartbeat at ``now_ms``.

    ``asked_ttl_ms`` is exact, also where that shortens the lease. Without it the lease gets
    its own ttl or five minutes, whichever is more, and is never shortened.

    Source: docs/lifecycle.md, Heartbeat.
    """
    if asked_ttl_ms is not None:
        return now_ms + asked_ttl_ms
    return max(expires_at_ms, now_ms + max(ttl_ms, HEARTBEAT_FLOOR_MS))
