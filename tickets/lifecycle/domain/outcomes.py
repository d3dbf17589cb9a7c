"""What the last stage of a task means for its ticket."""

from __future__ import annotations

from collections.abc import Mapping

from tickets.tracker.domain import outcomes
from tickets.tracker.domain.outcomes import Outcome


def outcome_of(
    stage: str, *, dead_letter_stage: str | None, chosen: Mapping[str, Outcome]
) -> Outcome:
    """Return how a ticket ends whose task came to this terminal stage.

    ``chosen`` is what the workspace says of some stages; of all others the ticket thinks as its
    task does.
    """
    if stage in chosen:
        return chosen[stage]
    return outcomes.outcome_of(stage, dead_letter_stage=dead_letter_stage)
