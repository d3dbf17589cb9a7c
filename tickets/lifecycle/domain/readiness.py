"""Who is to work on a ticket, and why it may have to wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

WaitReason = Literal[
    "workspace_paused",
    "blocked_by_dependency",
    "pipeline_unavailable",
    "agent_unavailable",
    "agent_busy",
    "no_agent_for_role",
]


class Candidate(Struct, frozen=True, kw_only=True):
    """An agent who might work on a ticket.

    ``live_count`` are the other tickets it has in hand, at most ``most`` (None: any number).
    ``distance`` is 0 for collaborators of the ticket, 1 for members of its team, else 2.
    """

    agent_id: str
    role: str
    is_enabled: bool
    live_count: int
    most: int | None
    distance: int = 2


def objection(agent: Candidate) -> WaitReason | None:
    """Return why this agent cannot take a ticket now, None where it can."""
    if not agent.is_enabled:
        return "agent_unavailable"
    if agent.most is not None and agent.live_count >= agent.most:
        return "agent_busy"
    return None


def best(agents: Iterable[Candidate]) -> Candidate | None:
    """Return the nearest agent who can; among those who has least to do, then by id."""
    able = (agent for agent in agents if objection(agent) is None)
    return min(
        able, key=lambda agent: (agent.distance, agent.live_count, agent.agent_id), default=None
    )


def why_no_member(members: Sequence[Candidate]) -> WaitReason:
    """Return why none of a team's members with the wanted role can."""
    if not members:
        return "no_agent_for_role"
    return "agent_busy" if any(each.is_enabled for each in members) else "agent_unavailable"
