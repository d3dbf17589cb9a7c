"""What the metrics tell of the ledger."""

from __future__ import annotations

from tickets.ledger.operations.feed import FEED_ERRORS
from tickets.web.metrics import Counted

LEDGER_COUNTED = (
    Counted(FEED_ERRORS, "Facts of the service that its ledger refused; each is a bug."),
)
