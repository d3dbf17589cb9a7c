"""What it means for a task to have reached a terminal stage, as far as names tell."""

from __future__ import annotations

from typing import Final, Literal

Outcome = Literal["done", "failed", "cancelled"]

FAILED_STAGES: Final = frozenset({"failed", "error", "rejected", "abandoned", "dead_letter"})
CANCELLED_STAGES: Final = frozenset({"cancelled", "canceled"})


def outcome_of(stage: str, *, dead_letter_stage: str | None) -> Outcome:
    """Return how a task has ended that was moved to a terminal stage.

    Source: docs/ledger.md, The service's own events.
    """
    name = stage.lower()
    if stage == dead_letter_stage or name in FAILED_STAGES:
        return "failed"
    return "cancelled" if name in CANCELLED_STAGES else "done"
