"""What of the traffic with Linear is over and long ago."""

from __future__ import annotations

from typing import Final

from tickets.db.database import Database
from tickets.ledger.operations.deliveries import forget_linear

# Linear tries a delivery for the last time six hours after the first.
KEPT_MS: Final = 7 * 86_400_000
STEP_ROWS: Final = 500


def prune(db: Database, now_ms: int) -> int:
    """Delete what was sent or applied more than a week ago, a step at a time."""
    before = {"before_ms": now_ms - KEPT_MS, "limit": STEP_ROWS}
    with db.write() as tx:
        rows = tx.run("sync_outbox.prune", **before) + tx.run("sync_inbox.prune", **before)
        return rows + forget_linear(tx, **before)
