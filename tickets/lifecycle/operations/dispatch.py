"""Gives tickets to agents, as tasks of the tracker, and takes them back."""

from __future__ import annotations

import json
from typing import Any, Final

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter
from tickets.lifecycle.errors import NotAssigned, NotReady
from tickets.lifecycle.operations.channels import ensure_channel, say
from tickets.lifecycle.operations.readiness import (
    FAILED_STAGE,
    Ready,
    TicketReadiness,
    role_in,
)
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.tracker.domain.documents import NewPipeline, NewTask
from tickets.tracker.operations.managed import ManagedTaskOperations
from tickets.tracker.operations.pipelines import Definitions, PipelineOperations
from tickets.tracker.operations.task_creation import TaskCreationOperations

# In whose name tasks are made and reserved.
MANAGER: Final = "tickets"
ASSIGNED_BY: Final = "ticket-dispatcher"
# Of a task, for each priority of a ticket.
TASK_PRIORITIES: Final = (25, 50, 75, 100)
# Why a task is withdrawn whose ticket is in a status.
_WITHDRAWN: Final = {"done": "ticket_done", "failed": "ticket_failed"}
_ENDED: Final = {"done": "completed", "failed": "failed", "cancelled": "cancelled"}


class TicketDispatcher:
    """Each call joins the transaction around it, which has the ticket's row and task locked."""

    def __init__(
        self,
        workflow: TicketWorkflow,
        readiness: TicketReadiness,
        definitions: Definitions,
        *,
        pipelines: PipelineOperations,
        creation: TaskCreationOperations,
        managed: ManagedTaskOperations,
    ) -> None:
        self._workflow = workflow
        self._readiness = readiness
        self._definitions = definitions
        self._pipelines = pipelines
        self._creation = creation
        self._managed = managed

    def attempt(
        self,
        tx: Transaction,  # noqa: ARG002  # a change gets its own
        ticket: TicketState,
        *,
        caused_by: int | None,
    ) -> None:
        """Start an open, assigned ticket where it is ready, else let it wait with the reason.

        Of many who try at once, one finds it open. Raises as ``TicketWorkflow.mutate`` does.
        """

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if ticket.status != "open" or not ticket.is_assigned:
                return
            ready = self._readiness.look(tx, ticket)
            if isinstance(ready, Ready):
                enter(ticket, "in_progress", now_ms=notes.now_ms)
                notes.trigger = "dispatch"
                self._give(tx, ticket, notes, ready)
            else:
                ticket.dispatch_state, ticket.wait_reason = "waiting", ready

        scope = Scope(workspace_id=ticket.workspace_id, actor=SYSTEM)
        self._workflow.mutate(scope, ticket.id, change, caused_by=caused_by)

    def reassign(
        self,
        tx: Transaction,
        before: TicketState,  # noqa: ARG002  # what it had is in its dispatch
        ticket: TicketState,
        notes: Notes,
    ) -> None:
        """Within a change that gives a started ticket to somebody else, or to nobody.

        What was given to an agent is taken back; one that is in progress is given to the next
        at once. Raises NotReady.
        """
        end_reason = "superseded" if ticket.is_assigned else "withdrawn"
        self._take_back(tx, ticket, notes, reason="ticket_reassigned", end_reason=end_reason)
        if ticket.status == "in_progress":
            self._give(tx, ticket, notes, self._ready(tx, ticket))
            ticket.execution_locked_at_ms = notes.now_ms
        else:
            ticket.dispatch_state, ticket.wait_reason = "none", None

    def resume(self, tx: Transaction, ticket: TicketState, notes: Notes) -> None:
        """Within a change of a blocked ticket that goes on.

        Its agent goes on where the task is still there; else the ticket is given anew. Raises
        NotAssigned, NotReady.
        """
        row = tx.one("ticket_dispatches.live", ticket_id=ticket.id)
        if row is not None:
            self._release(tx, ticket, row)
        elif ticket.dispatch_state != "external":
            if not ticket.is_assigned:
                raise NotAssigned
            self._give(tx, ticket, notes, self._ready(tx, ticket))

    def leave(
        self, tx: Transaction, before: TicketState, ticket: TicketState, notes: Notes
    ) -> None:
        """Within a change out of ``in_progress``, or from ``blocked`` to an end.

        What was given to an agent is held where the ticket is blocked, else taken back; the
        notes say what that was.
        """
        if before.status == "in_progress" and ticket.status == "blocked":
            row = tx.one("ticket_dispatches.live", ticket_id=ticket.id)
            if row is not None:
                self._managed.hold(row["task_id"])
                tx.run("ticket_dispatches.hold", ticket_id=ticket.id)
            return
        self._take_back(
            tx,
            ticket,
            notes,
            reason=_WITHDRAWN.get(ticket.status, "ticket_cancelled"),
            end_reason=_ENDED.get(ticket.status, "cancelled"),
        )

    def place(self, tx: Transaction, ticket: TicketState, row: Row, stage: str) -> None:
        """Give the task of a ticket to whoever works in the stage that it came to.

        Where there is nobody, the task is held until a sweep finds somebody.
        """
        role = role_in(self._definitions.get(tx, row["pipeline_id"]), stage)
        agent_id, state, wait_reason = row["agent_id"], "waiting", None
        agent = None if role is None else self._readiness.executor(tx, ticket, role)
        if agent is None or isinstance(agent, str):
            wait_reason = agent or "no_agent_for_role"
            self._managed.hold(row["task_id"])
        else:
            agent_id, state = agent.agent_id, "queued"
            self._managed.pin(row["task_id"], agent_id, assigned_by=ASSIGNED_BY)
            if ticket.status != "blocked":
                self._managed.unhold(row["task_id"])
        tx.run(
            "ticket_dispatches.place",
            ticket_id=ticket.id,
            stage=stage,
            agent_id=agent_id,
            state="held" if ticket.status == "blocked" else state,
            wait_reason=wait_reason,
        )

    def abandon(self, tx: Transaction, ticket: TicketState, notes: Notes, task_id: str) -> None:
        """Within a change of a ticket whose task was given up: nobody goes on with that one."""
        # It may wait in a stage in which somebody is to look into what went wrong.
        details = {"ticket_id": ticket.id}
        self._managed.withdraw(task_id, reason="ticket_failed", details=details)
        end(tx, ticket, notes, "dead_letter")

    def set_priority(self, tx: Transaction, ticket: TicketState) -> None:
        """Let the task of a ticket be as urgent as the ticket."""
        row = tx.one("ticket_dispatches.live", ticket_id=ticket.id)
        if row is not None:
            self._managed.set_priority(row["task_id"], TASK_PRIORITIES[ticket.priority - 1])

    def _ready(self, tx: Transaction, ticket: TicketState) -> Ready:
        ready = self._readiness.look(tx, ticket)
        if not isinstance(ready, Ready):
            raise NotReady(f"The ticket cannot be started now: {ready}")
        return ready

    def _release(self, tx: Transaction, ticket: TicketState, row: Row) -> None:
        if row["wait_reason"] is not None:
            # It came to a stage for which there was nobody.
            self.place(tx, ticket, row, row["stage"])
        else:
            self._managed.unhold(row["task_id"])
            tx.run("ticket_dispatches.release", ticket_id=ticket.id)

    def _give(self, tx: Transaction, ticket: TicketState, notes: Notes, ready: Ready) -> None:
        """Make the task of the next generation, within a change of a ticket in progress."""
        pipeline_id = ready.pipeline_id or self._make_pipeline(ready)
        if ticket.assigned_agent_id is None:
            ticket.assigned_agent_id = ready.agent_id
        ensure_channel(tx, ticket, now_ms=notes.now_ms)
        ticket.generation += 1
        ticket.dispatch_state, ticket.wait_reason = "dispatched", None
        task = NewTask(
            pipeline_id=pipeline_id,
            title=ticket.title,
            description=ticket.description or "",
            priority=TASK_PRIORITIES[ticket.priority - 1],
            metadata=_metadata(ticket),
            retry_policy=ready.policy,
            assigned_agent_id=ready.agent_id,
            assigned_by=ASSIGNED_BY,
        )
        task_id = self._creation.create(task, manager=MANAGER)
        stage = self._definitions.get(tx, pipeline_id).initial
        tx.run(
            "ticket_dispatches.start",
            ticket_id=ticket.id,
            generation=ticket.generation,
            task_id=task_id,
            pipeline_id=pipeline_id,
            agent_id=ready.agent_id,
            stage=stage,
            now_ms=notes.now_ms,
        )
        notes.task_id, notes.pipeline_id, notes.stage = task_id, pipeline_id, stage
        say(tx, ticket, f"Given to {ready.agent_id}", now_ms=notes.now_ms)

    def _make_pipeline(self, ready: Ready) -> str:
        return self._pipelines.find_or_create(
            NewPipeline(name=ready.pipeline_name, definition=_definition(ready.role))
        )

    def _take_back(
        self,
        tx: Transaction,
        ticket: TicketState,
        notes: Notes,
        *,
        reason: str,
        end_reason: str,
    ) -> None:
        """Withdraw the task that a ticket has, if it has one, and note which."""
        row = tx.one("ticket_dispatches.live", ticket_id=ticket.id)
        if row is None:
            return
        notes.task_id, notes.run_id = row["task_id"], row["run_id"]
        notes.withdrawn_task_id = row["task_id"]
        notes.withdrawn_run_id = self._managed.withdraw(
            row["task_id"], reason=reason, details={"ticket_id": ticket.id}
        )
        end(tx, ticket, notes, end_reason)


def end(
    tx: Transaction,
    ticket: TicketState,
    notes: Notes,
    end_reason: str,
    *,
    stage: str | None = None,
    error: str | None = None,
) -> None:
    """End the dispatch of a ticket, whose task is over."""
    tx.run(
        "ticket_dispatches.end",
        ticket_id=ticket.id,
        stage=stage,
        error=error,
        now_ms=notes.now_ms,
        end_reason=end_reason,
    )


def _metadata(ticket: TicketState) -> dict[str, Any]:
    schema = ticket.output_schema_json
    return {
        "ticket_id": ticket.id,
        "workspace_id": ticket.workspace_id,
        "generation": ticket.generation,
        "channel_id": ticket.channel_id,
        "mode": ticket.mode,
        "expected_output_schema": None if schema is None else json.loads(schema),
        "parent_ticket_id": ticket.parent_ticket_id,
        "delegated_by_agent_id": ticket.delegated_by_agent_id,
        "labels": ticket.labels,
        "project_id": ticket.project_id,
        "pipeline_run_id": ticket.pipeline_run_id,
    }


def _definition(role: str) -> dict[str, Any]:
    """Return the pipeline of tickets that only want one agent of a role."""
    return {
        "initial": "work",
        "states": {
            "work": {"agent_role": role},
            "done": {"terminal": True},
            FAILED_STAGE: {"terminal": True},
        },
        "transitions": [
            {"from": "work", "to": "done", "trigger": "complete"},
            {"from": "work", "to": FAILED_STAGE, "trigger": "abandon"},
        ],
    }
