"""What the sync with Linear reads of a workspace and of a ticket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.state import PRIORITIES, TicketState
from tickets.lifecycle.errors import IntegrationNotFound
from tickets.lifecycle.linear.issues import as_description
from tickets.lifecycle.linear.states import State, Workflow

LINEAR: Final = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """How a workspace is connected. Key and secrets are sealed: the vault opens them."""

    workspace_id: str
    team_id: str
    is_enabled: bool
    auth_kind: str
    sealed_key: str = field(repr=False)
    sealed_secrets: tuple[str, ...] = field(repr=False)
    import_issues: bool
    create_labels: bool
    replay_window_ms: int
    cursor_ms: int
    workflow: Workflow


def integration(row: Row) -> Integration:
    """Return a stored integration."""
    states = tuple(State.read(state) for state in json.loads(row["states_json"]))
    return Integration(
        workspace_id=row["workspace_id"],
        team_id=row["team_id"],
        is_enabled=bool(row["enabled"]),
        auth_kind=row["auth_kind"],
        sealed_key=row["api_key"],
        sealed_secrets=tuple(json.loads(row["webhook_secrets_json"])),
        import_issues=bool(row["import_issues"]),
        create_labels=bool(row["create_labels"]),
        replay_window_ms=row["replay_window_ms"],
        cursor_ms=row["cursor_ms"],
        workflow=Workflow(states, json.loads(row["status_map_json"])),
    )


def found_integration(tx: Transaction, workspace_id: str) -> Integration:
    """Return the integration of a workspace. Raises IntegrationNotFound."""
    row = tx.one("integrations_linear.get", workspace_id=workspace_id)
    if row is None:
        raise IntegrationNotFound
    return integration(row)


def plain_values(ticket: TicketState) -> dict[str, Any]:
    """Return the synced fields of a ticket in our own words, as the outbox keeps them."""
    return {
        "title": ticket.title,
        "description": ticket.description,
        "priority": PRIORITIES[ticket.priority - 1],
        "status": ticket.status,
        "labels": ticket.labels,
        "assignee": ticket.assigned_agent_id,
        "parent": ticket.parent_ticket_id,
    }


def in_their_words(
    tx: Transaction, workspace_id: str, values: dict[str, Any]
) -> dict[str, Any]:
    """Return such values with the agent and the parent as Linear knows them.

    One that Linear does not know is as none at all, and so is an agent who has left the
    workspace. The status stays ours.
    """
    said = dict(values)
    if "description" in said:
        said["description"] = as_description(said["description"])
    if said.get("assignee") is not None:
        said["assignee"] = tx.value(
            "sync_shadow.user_of_agent", agent_id=said["assignee"], workspace_id=workspace_id
        )
    if said.get("parent") is not None:
        said["parent"] = issue_of(tx, said["parent"])
    return said


def issue_of(tx: Transaction, ticket_id: str) -> str | None:
    """Return the id of the issue that mirrors a ticket, None where there is none."""
    row = tx.one("sync_shadow.issue_of_ticket", ticket_id=ticket_id)
    if row is None or row["provider"] != LINEAR:
        return None
    external_id: str | None = row["external_id"]
    return external_id


def sent_values(tx: Transaction, workspace_id: str, rows: Iterable[Row]) -> dict[str, Any]:
    """Return the values that may have reached Linear without our knowing it."""
    sent: dict[str, Any] = {}
    for row in rows:
        if row["state"] == "inflight" or row["attempts"] > 0:
            sent |= json.loads(row["payload_json"]).get("fields", {})
    return in_their_words(tx, workspace_id, sent)
