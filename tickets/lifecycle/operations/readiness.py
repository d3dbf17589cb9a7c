"""Whether a ticket can start now: workspace, blockers, pipeline and agent, in this order."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from msgspec import Struct

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.readiness import (
    Candidate,
    WaitReason,
    best,
    objection,
    why_no_member,
)
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.operations import rows
from tickets.tracker.domain.documents import MAX_NAME_BYTES, RetryPolicyDocument
from tickets.tracker.domain.pipelines import Definition
from tickets.tracker.operations.pipelines import Definitions

# The stage of a pipeline into which a failed ticket's task goes where nothing else is said.
FAILED_STAGE: Final = "failed"
# Others may take the last place of an agent while it is waited for.
_LOOKS: Final = 5


class Ready(Struct, frozen=True, kw_only=True):
    """A ticket can start: in this pipeline, with this agent."""

    agent_id: str
    role: str
    policy: RetryPolicyDocument
    # Name of the pipeline for tickets of this role; made where ``pipeline_id`` is None.
    pipeline_name: str
    pipeline_id: str | None


class TicketReadiness:
    """Looks at a ticket, in any block; within a write nothing it saw changes before the end."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def look(self, tx: Transaction, ticket: TicketState) -> Ready | WaitReason:
        """Return how the ticket would start, or the first thing that is in the way."""
        workspace = tx.one("workspaces.get", workspace_id=ticket.workspace_id)
        assert workspace is not None, "tickets refer to it by foreign key"
        if workspace["status"] != "active":
            return "workspace_paused"
        if rows.is_blocked(tx, ticket.id):
            return "blocked_by_dependency"
        settings = rows.settings(workspace)
        pipeline_id = ticket.dispatch_pipeline_id or settings.get("pipeline_id")
        role: str | None = None
        if pipeline_id is not None:
            role = self._first_role(tx, pipeline_id)
            if role is None:
                return "pipeline_unavailable"
        agent = self.executor(tx, ticket, role)
        if isinstance(agent, str):
            return agent
        return self._ready(tx, ticket, settings, agent, pipeline_id, role or agent.role)

    def _ready(
        self,
        tx: Transaction,
        ticket: TicketState,
        settings: dict[str, Any],
        agent: Candidate,
        pipeline_id: str | None,
        role: str,
    ) -> Ready | WaitReason:
        name = f"ticket/{role}"
        if pipeline_id is None:
            if len(name.encode()) > MAX_NAME_BYTES:
                return "pipeline_unavailable"
            pipeline_id = self._definitions.id_of_name(tx, name)
            if pipeline_id is not None and self._first_role(tx, pipeline_id) != role:
                return "pipeline_unavailable"
        stages = {"work", "done", FAILED_STAGE}
        if pipeline_id is not None:
            stages = set(self._definitions.get(tx, pipeline_id).stages)
        policy = retry_policy(ticket, settings, stages)
        if policy.dead_letter_stage is not None and policy.dead_letter_stage not in stages:
            return "pipeline_unavailable"
        return Ready(
            agent_id=agent.agent_id,
            role=role,
            policy=policy,
            pipeline_name=name,
            pipeline_id=pipeline_id,
        )

    def _first_role(self, tx: Transaction, pipeline_id: str) -> str | None:
        """Return who works in the first stage of a pipeline, None where nobody does."""
        definition = self._definitions.find(tx, pipeline_id)
        return None if definition is None else role_in(definition, definition.initial)

    def executor(
        self, tx: Transaction, ticket: TicketState, role: str | None
    ) -> Candidate | WaitReason:
        """Return who takes a stage of this role, None being the role of whoever that is.

        In a write block the agent's other work neither begins nor changes until its end.
        """
        chosen = self._choice(tx, ticket, role)
        for _ in range(_LOOKS):
            if isinstance(chosen, str):
                return chosen
            tx.hold("workspace_agents.lock", agent_id=chosen.agent_id)
            again = self._choice(tx, ticket, role)
            if not isinstance(again, str) and again.agent_id == chosen.agent_id:
                return again
            chosen = again
        return "agent_busy"

    def _choice(
        self, tx: Transaction, ticket: TicketState, role: str | None
    ) -> Candidate | WaitReason:
        if ticket.assigned_agent_id is not None:
            return _own_or_helper(tx, ticket, ticket.assigned_agent_id, role)
        found = tx.many(
            "workspace_agents.able_in_team",
            workspace_id=ticket.workspace_id,
            team_id=ticket.assigned_team_id,
            ticket_id=ticket.id,
        )
        members = [each for each in map(_candidate, found) if role in (None, each.role)]
        return best(members) or why_no_member(members)


def _own_or_helper(
    tx: Transaction, ticket: TicketState, agent_id: str, role: str | None
) -> Candidate | WaitReason:
    """Return the ticket's own agent, whom nobody replaces; for another role, somebody else."""
    row = tx.one(
        "workspace_agents.able",
        workspace_id=ticket.workspace_id,
        agent_id=agent_id,
        ticket_id=ticket.id,
    )
    if row is None:
        return "agent_unavailable"
    own = _candidate(row)
    if role in (None, own.role):
        return objection(own) or own
    found = tx.many(
        "workspace_agents.able_in_role",
        workspace_id=ticket.workspace_id,
        role=role,
        team_id=ticket.assigned_team_id,
        ticket_id=ticket.id,
    )
    return best(map(_candidate, found)) or "no_agent_for_role"


def _candidate(row: Row) -> Candidate:
    return Candidate(
        agent_id=row["agent_id"],
        role=row["role"],
        is_enabled=bool(row["enabled"]),
        live_count=row["live_count"],
        most=row["max_active_tickets"],
        distance=row["distance"],
    )


def role_in(definition: Definition, stage_name: str) -> str | None:
    """Return who works in a stage, None where nobody does."""
    stage = definition.stage(stage_name)
    return None if stage is None else stage.agent_role


def retry_policy(
    ticket: TicketState, settings: dict[str, Any], stages: set[str]
) -> RetryPolicyDocument:
    """Return the ticket's policy, else its workspace's; else one failure is the end."""
    given = settings.get("retry_policy")
    if ticket.retry_policy_json is not None:
        given = json.loads(ticket.retry_policy_json)
    if given is not None:
        return msgspec.convert(given, RetryPolicyDocument)
    return RetryPolicyDocument(
        max_attempts=1,
        retry_delay_ms=0,
        dead_letter_stage=FAILED_STAGE if FAILED_STAGE in stages else None,
    )
