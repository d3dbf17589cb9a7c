"""Rows → records, for the shapes that several families show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.actors import Scope, agent_of
from tickets.lifecycle.domain.records import (
    Agent,
    Children,
    Collaborator,
    Dispatch,
    Json,
    Link,
    Ticket,
    TicketDetails,
    TicketEvent,
    Workspace,
)
from tickets.lifecycle.domain.state import PRIORITIES, TicketState
from tickets.lifecycle.domain.sync_records import Sync
from tickets.lifecycle.errors import (
    AgentNotFound,
    TicketNotFound,
    WorkspaceArchived,
    WorkspaceNotFound,
)
from tickets.lifecycle.operations.synced import sync_of
from tickets.web.answers import stored, to_json

# Of what belongs to a ticket, as many are shown with it; lists of their own show all.
MAX_SHOWN: Final = 1_000


def entered(tx: Transaction, scope: Scope) -> Row:
    """Return the workspace of a request.

    Raises WorkspaceNotFound, and AgentNotFound for an actor that is not registered.
    """
    row = tx.one("workspaces.get", workspace_id=scope.workspace_id)
    if row is None:
        raise WorkspaceNotFound
    agent_id = agent_of(scope.actor)
    if agent_id is not None:
        found_agent(tx, scope.workspace_id, agent_id)
    return row


def entered_to_write(tx: Transaction, scope: Scope) -> Row:
    """Do the same for a change. Raises WorkspaceArchived as well."""
    row = entered(tx, scope)
    if row["status"] == "archived":
        raise WorkspaceArchived
    return row


def found_agent(tx: Transaction, workspace_id: str, agent_id: str) -> Row:
    """Return an agent of the workspace. Raises AgentNotFound."""
    row = tx.one("workspace_agents.get", agent_id=agent_id, workspace_id=workspace_id)
    if row is None:
        raise AgentNotFound
    return row


def found_ticket(tx: Transaction, workspace_id: str, ticket_id: str) -> TicketState:
    """Return a ticket of the workspace. Raises TicketNotFound."""
    row = tx.one("tickets.get", ticket_id=ticket_id, workspace_id=workspace_id)
    if row is None:
        raise TicketNotFound
    return TicketState(**row)


def blockers_of(tx: Transaction, ticket_id: str) -> list[str]:
    """Return the tickets that keep this one from starting, their ids ascending."""
    return [row["id"] for row in tx.many("ticket_links.blockers_of", ticket_id=ticket_id)]


def is_blocked(tx: Transaction, ticket_id: str) -> bool:
    """Tell whether there are any, which is known before all of them are."""
    if tx.value("ticket_links.open_blocker", ticket_id=ticket_id) is not None:
        return True
    return bool(blockers_of(tx, ticket_id))


def workspace(row: Row) -> Workspace:
    """Return a workspace as clients see it."""
    return Workspace(
        id=row["id"],
        name=row["name"],
        status=row["status"],
        dispatch=Json(row["dispatch_json"].encode()),
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )


def agent(row: Row) -> Agent:
    """Return an agent as clients see it."""
    return Agent(
        id=row["agent_id"],
        workspace_id=row["workspace_id"],
        role=row["role"],
        enabled=bool(row["enabled"]),
        max_active_tickets=row["max_active_tickets"],
        display_name=row["display_name"],
        linear_user_id=row["linear_user_id"],
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )


def ticket(tx: Transaction, state: TicketState) -> Ticket:
    """Return a ticket as clients see it, with what blocks it and who works on it."""
    return tickets(tx, [state])[0]


def tickets(tx: Transaction, states: Sequence[TicketState]) -> list[Ticket]:
    """Return tickets as clients see them; how many they are costs no more statements."""
    return [Ticket(**fields) for fields in _tickets_fields(tx, states)]


def ticket_details(tx: Transaction, state: TicketState) -> TicketDetails:
    """Return a ticket as clients see it, with what belongs to it."""
    whole: dict[str, Any] = {"ticket_id": state.id, "after_seq": 0, "limit": MAX_SHOWN}
    children = {
        row["status"]: row["ticket_count"]
        for row in tx.many("tickets.children", ticket_id=state.id)
    }
    return TicketDetails(
        **_tickets_fields(tx, [state])[0],
        collaborators=[
            collaborator(row) for row in tx.many("ticket_collaborators.of_ticket", **whole)
        ],
        links=[link(row, state.id) for row in tx.many("ticket_links.of_ticket", **whole)],
        children=Children(total=sum(children.values()), by_status=children),
    )


def collaborator(row: Row) -> Collaborator:
    """Return a collaborator as clients see it."""
    return Collaborator(**{name: row[name] for name in Collaborator.__struct_fields__})


def link(row: Row, ticket_id: str) -> Link:
    """Return a link as clients see it from one of its tickets."""
    return Link(
        id=row["id"],
        type=row["type"],
        source_ticket_id=row["source_ticket_id"],
        target_ticket_id=row["target_ticket_id"],
        direction="outgoing" if row["source_ticket_id"] == ticket_id else "incoming",
        created_by=row["created_by"],
        created_at_ms=row["created_at_ms"],
    )


def _tickets_fields(tx: Transaction, states: Sequence[TicketState]) -> list[dict[str, Any]]:
    ids_json = to_json([state.id for state in states])
    blocked_by: dict[str, list[str]] = {}
    for row in tx.many("ticket_links.blockers_of_each", ids_json=ids_json):
        blocked_by.setdefault(row["blocked_id"], []).append(row["id"])
    present = tx.many("ticket_dispatches.present_of_each", ids_json=ids_json)
    dispatches = {row["ticket_id"]: row for row in present}
    return [
        _ticket_fields(
            state,
            blocked_by=blocked_by.get(state.id, []),
            dispatch=_dispatch(state, dispatches.get(state.id, {})),
            sync=sync_of(tx, state),
        )
        for state in states
    ]


def _ticket_fields(
    state: TicketState, *, blocked_by: list[str], dispatch: Dispatch, sync: Sync | None
) -> dict[str, Any]:
    fields = msgspec.structs.asdict(state)
    return {
        **{name: fields[name] for name in Ticket.__struct_fields__ if name in fields},
        "priority": PRIORITIES[state.priority - 1],
        "expected_output_schema": stored(state.output_schema_json),
        "output_json": stored(state.output_json),
        "execution_locked_at": state.execution_locked_at_ms,
        "labels": state.labels,
        "is_blocked": bool(blocked_by),
        "blocked_by": blocked_by,
        "dispatch": dispatch,
        "sync": sync,
    }


def _dispatch(state: TicketState, row: Row) -> Dispatch:
    shown, wait_reason = _dispatch_state(state, row)
    return Dispatch(
        state=shown,  # type: ignore[arg-type]  # the schema's CHECKs say so
        wait_reason=wait_reason,  # type: ignore[arg-type]  # as above
        generation=state.generation,
        pipeline_id=row.get("pipeline_id", state.dispatch_pipeline_id),
        task_id=row.get("task_id"),
        stage=row.get("stage"),
        run_id=row.get("run_id"),
        attempt=row.get("attempt"),
        agent_id=row.get("agent_id"),
        lease_expires_at_ms=row.get("lease_expires_at_ms"),
        last_error=row.get("last_error"),
        retry_policy=stored(state.retry_policy_json),
        on_invalid_output=state.on_invalid_output,  # type: ignore[arg-type]  # as above
        on_dead_letter=state.on_dead_letter,  # type: ignore[arg-type]  # as above
    )


def _dispatch_state(state: TicketState, row: Row) -> tuple[str, str | None]:
    """Return where the work stands, and for what it waits."""
    if state.status == "blocked" and state.dispatch_state != "external" and state.is_assigned:
        # Also where its task was given up, and it will get another one.
        return "held", None
    if state.dispatch_state != "dispatched":
        return state.dispatch_state, state.wait_reason
    return row["state"], row["wait_reason"] if row["state"] == "waiting" else None


def event(row: Row) -> TicketEvent:
    """Return an event as clients see it."""
    return TicketEvent(
        id=row["id"],
        workspace_id=row["workspace_id"],
        ticket_id=row["ticket_id"],
        type=row["type"],
        version=row["version"],
        actor=row["actor"],
        occurred_at_ms=row["occurred_at_ms"],
        caused_by=row["caused_by"],
        data=Json(row["data_json"].encode()),
    )


def settings(workspace: Row) -> dict[str, Any]:
    """Return how tickets of a workspace are worked on where they do not say themselves."""
    found: dict[str, Any] = json.loads(workspace["dispatch_json"])
    return found


def setting(tx: Transaction, ticket: TicketState, name: str, default: Any) -> Any:
    """Return one setting of how a ticket is worked on: its own, else its workspace's."""
    own = getattr(ticket, name, None)
    if own is not None:
        return own
    found = tx.one("workspaces.get", workspace_id=ticket.workspace_id)
    assert found is not None, "it has tickets"
    return settings(found).get(name, default)
