"""What the last stage of a task means for its ticket."""

from __future__ import annotations

from collections.abc import Mapping

from tickets.tracker.domain.outcomes import CANCELLED_STAGES, FAILED_STAGES, Outcome


def outcome_of(
    stage: str, *, dead_letter_stage: str | None, chosen: Mapping[str, Outcome]
) -> Outcome:
    """Return how a ticket ends whose task came to this terminal stage.

    ``chosen`` is what the workspace says of some stages; else the stage for dead letters is a
    failure, and others go by their names.
    """
    if stage in chosen:
        return chosen[stage]
    if stage == dead_letter_stage or stage in FAILED_STAGES:
        return "failed"
    return "cancelled" if stage in CANCELLED_STAGES else "done"
