"""A task's retry policy as its columns."""

from __future__ import annotations

from typing import Any

import msgspec

from tickets.errors import Invalid
from tickets.tracker.domain.documents import RetryPolicyDocument
from tickets.tracker.domain.pipelines import Definition
from tickets.web.answers import to_json


def check_dead_letter_stage(definition: Definition, policy: RetryPolicyDocument) -> None:
    """Refuse a stage that the task's pipeline does not have; raises Invalid."""
    name = policy.dead_letter_stage
    if name is not None and definition.stage(name) is None:
        raise Invalid.field(
            "retry_policy.dead_letter_stage", "is not a stage of the task's pipeline"
        )


def policy_columns(policy: RetryPolicyDocument) -> dict[str, Any]:
    """Return the columns that hold a policy; what it leaves out is the default."""
    backoff = policy.backoff
    return {
        "max_attempts": policy.max_attempts,
        "retry_delay_ms": policy.retry_delay_ms or 0,
        "dead_letter_stage": policy.dead_letter_stage,
        "retry_backoff_json": None
        if backoff is None
        else to_json(
            {k: v for k, v in msgspec.structs.asdict(backoff).items() if v is not None}
        ),
    }
