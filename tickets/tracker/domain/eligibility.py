"""Claimability: the specification that the claim's statement must equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from tickets.tracker.domain.records import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """All that decides whether a task can be claimed, at one instant.

    ``lease_expires_at_ms`` belongs to the running run, if there is one. A run whose lease is
    over is ended first, so it stands against a claim only until that sweep.
    """

    agent_role: str | None
    is_terminal: bool
    is_dead: bool
    dead_letter_reason: str | None
    next_eligible_at_ms: int
    open_dependency_ids: Sequence[str]
    is_held: bool
    assignee: str | None
    lease_expires_at_ms: int | None
    run_id: str | None = None
    holder: str | None = None


def reasons_against(task: Candidate, *, agent_id: str | None, now_ms: int) -> list[Reason]:
    """Return everything that keeps ``agent_id`` from claiming the task now.

    Without an agent, an assignment counts as a reason: not everybody could claim it. The
    role of the claim is not asked here; it must equal ``agent_role``.

    Source: docs/lifecycle.md, Claim.
    """
    reasons: list[Reason] = []
    if task.agent_role is None:
        reasons.append(Reason(code="terminal_stage" if task.is_terminal else "no_role"))
    if task.is_dead:
        reasons.append(Reason(code="dead_lettered", reason=task.dead_letter_reason or UNSET))
    if task.lease_expires_at_ms is not None and task.lease_expires_at_ms > now_ms:
        reasons.append(
            Reason(
                code="leased",
                run_id=task.run_id or UNSET,
                agent_id=task.holder if task.holder is not None else UNSET,
                until_ms=task.lease_expires_at_ms,
            )
        )
    if not task.is_dead and task.next_eligible_at_ms > now_ms:
        reasons.append(Reason(code="delayed", until_ms=task.next_eligible_at_ms))
    if task.open_dependency_ids:
        reasons.append(Reason(code="blocked_by", task_ids=list(task.open_dependency_ids)))
    if task.is_held:
        reasons.append(Reason(code="held"))
    if task.assignee is not None and task.assignee != agent_id:
        reasons.append(Reason(code="assigned", agent_id=task.assignee))
    return reasons


def is_eligible(task: Candidate, *, agent_id: str, agent_role: str, now_ms: int) -> bool:
    """Tell whether ``agent_id`` in ``agent_role`` may claim the task at ``now_ms``."""
    return task.agent_role == agent_role and not reasons_against(
        task, agent_id=agent_id, now_ms=now_ms
    )


def claim_order(
    *, priority: int, is_assigned: bool, created_at_ms: int, seq: int
) -> tuple[int, int, int, int]:
    """Return the sort key of a claim: lowest first.

    Higher priority, then tasks assigned to the caller, then age, then order of creation.
    """
    return (-priority, 0 if is_assigned else 1, created_at_ms, seq)
