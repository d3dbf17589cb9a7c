"""For each operation that takes a typed document: one that is accepted, with every field."""

from __future__ import annotations

import copy
from typing import Any

from tests.factories import REVIEW, Json
from tests.fuzz.place import Place
from tickets.ids import new_id

RETRY: Json = {
    "max_attempts": 3,
    "retry_delay_ms": 10,
    "dead_letter_stage": "done",
    "backoff": {"factor": 2.0, "max_delay_ms": 1000, "jitter": 0.5},
}
TASK: Json = {
    "pipeline_id": "{pipeline_id}",
    "title": "t",
    "description": "d",
    "priority": 1,
    "metadata": {"a": [1]},
    "retry_policy": RETRY,
    "dependencies": ["{depends_on_task_id}"],
    "assigned_agent_id": "a1",
    "assigned_by": "lead",
}
LEDGER_EVENT: Json = {
    "state": "QUEUED",
    "actor": "a",
    "source": "s",
    "req": "{new}",
    "stage": "t",
    "message": "m",
    "data": {"d": [1]},
    "event_id": "{id}",
    "ts_ms": 1,
    "expected_state": "NONE",
    "scope": None,
}
IN_WORKSPACE: Json = {"workspace_id": "{workspace_id}"}
DISPATCH: Json = {
    "pipeline_id": "{pipeline_id}",
    "retry_policy": RETRY,
    "on_invalid_output": "reject",
    "on_dead_letter": "block",
}
WORDS: Json = {"title": "t", "description": "d", "priority": "low", "labels": ["l"]}
DOCUMENTS: dict[tuple[str, str], Json] = {
    ("POST", "/pipelines"): {
        "name": "{new}",
        "definition": {**REVIEW, "gates": "inform"},
    },
    ("POST", "/tasks"): TASK,
    ("POST", "/tasks/bulk"): {
        "tasks": [
            {**TASK, "ref": "a"},
            {**TASK, "dependencies": None, "depends_on_refs": ["a"]},
        ]
    },
    ("PATCH", "/tasks/{task_id}"): {
        "title": "t",
        "description": "d",
        "priority": 2,
        "metadata": {"b": None},
        "retry_policy": RETRY,
        "expected_task_version": 1,
    },
    ("PUT", "/tasks/{task_id}/run-state"): {"run_id": "r", "workflow_state": {"n": 1}},
    ("POST", "/tasks/{task_id}/cancel"): {"reason": "no"},
    ("POST", "/tasks/{task_id}/requeue"): {"stage": "coding"},
    ("POST", "/tasks/{task_id}/dependencies"): {"depends_on_task_id": "{depends_on_task_id}"},
    ("POST", "/tasks/{task_id}/assignments"): {"agent_id": "a1", "assigned_by": "lead"},
    ("POST", "/leases/claim"): {
        "agent_id": "a2",
        "agent_role": "reviewer",
        "lease_ttl_ms": 1000,
        "concurrency": {"per_state": {"coding": 1, "review": None}},
        "wait_ms": 0,
        "max_tasks": 2,
    },
    ("POST", "/leases/{lease_id}/heartbeat"): {"lease_ttl_ms": 80_000_000},
    ("POST", "/runs/{run_id}/events"): {
        "kind": "k",
        "data": {"x": 1},
        "events": [{"kind": "k", "data": [1]}, {"kind": "l"}],
    },
    ("POST", "/runs/{run_id}/gates"): {
        "gate": "g",
        "status": "pass",
        "evidence": {"e": 1},
        "actor": "a",
    },
    ("POST", "/runs/{run_id}/transition"): {
        "trigger": "submit",
        "instructions": "i",
        "usage": {"tokens": 1},
        "expected_stage": "coding",
        "expected_task_version": 1,
    },
    ("POST", "/runs/{run_id}/fail"): {"error": "e", "usage": {"tokens": 1}},
    ("POST", "/runs/{run_id}/release"): {"reason": "r"},
    ("POST", "/artifacts"): {
        "kind": "k",
        "uri": "u",
        "task_id": "{task_id}",
        "run_id": "{run_id}",
        "sha256": "0",
        "size_bytes": 1,
        "meta": {"m": 1},
    },
    ("PUT", "/store/{namespace}/{key}"): {"value": {"v": 1}},
    ("POST", "/ledger/events"): LEDGER_EVENT,
    ("POST", "/ledger/events/bulk"): {"events": [LEDGER_EVENT]},
    ("POST", "/ledger/tasks/{req}/touch"): {
        "actor": "a",
        "source": "s",
        "stage": "t",
        "message": "m",
    },
    ("POST", "/ledger/watchdog/sweep"): {
        "thresholds": {"RUNNING": 1000},
        "timeouts": {"RUNNING": None},
        "mark": True,
    },
    ("POST", "/ledger/deliveries"): {
        "channel": "c",
        "dedupe_key": "{new}",
        "req": "r",
        "state": "RUNNING",
        "stage": "t",
        "cooldown_ms": 1,
        "req_cooldown_ms": 0,
        "payload_hash": "0" * 64,
        "dry_run": False,
    },
    ("POST", "/workspaces"): {"id": "{new}", "name": "w", "dispatch": DISPATCH},
    ("PATCH", "/workspaces/{workspace_id}"): {
        "name": "w",
        "status": "active",
        "dispatch": {**DISPATCH, "stage_outcomes": {"done": "done"}},
    },
    ("PUT", "/workspaces/{workspace_id}/agents/{agent_id}"): {
        "role": "coder",
        "enabled": True,
        "max_active_tickets": 2,
        "display_name": "d",
        "linear_user_id": "l",
    },
    ("PUT", "/workspaces/{workspace_id}/teams/{team_id}"): {
        "name": "t",
        "agent_ids": ["{agent_id}"],
    },
    ("POST", "/tickets"): {
        **IN_WORKSPACE,
        **WORDS,
        "provider": "local",
        "mode": "plan",
        "project_id": "p",
        "parent_ticket_id": "{other_ticket_id}",
        "pipeline_run_id": "r",
        "expected_output_schema": {"type": "object"},
        "assigned_agent_id": "{agent_id}",
        "delegated_by_agent_id": "{collaborator_id}",
        "dispatch": DISPATCH,
    },
    ("PUT", "/workspaces/{workspace_id}/integrations/linear"): {
        "enabled": True,
        "auth_kind": "oauth",
        "api_key": "key",
        "team_id": "team",
        "webhook_secrets": ["secret", "next"],
        "import_issues": True,
        "create_labels": False,
        "status_map": {"open": "a", "in_progress": None},
        "replay_window_ms": 1000,
        "reconcile_interval_ms": 1000,
    },
    ("POST", "/tickets/{ticket_id}/sync/resolve"): {**IN_WORKSPACE, "prefer": "local"},
    ("PATCH", "/tickets/{ticket_id}"): {
        **IN_WORKSPACE,
        **WORDS,
        "provider": "local",
        "mode": "review",
        "project_id": None,
        "parent_ticket_id": "{other_ticket_id}",
        "expected_output_schema": None,
        "dispatch": DISPATCH,
        "expected_status": "open",
    },
    ("POST", "/tickets/{ticket_id}/transition"): {
        **IN_WORKSPACE,
        "to": "cancelled",
        "reason": "r",
        "cascade": True,
    },
    ("POST", "/tickets/{ticket_id}/assign"): {**IN_WORKSPACE, "agent_id": "{agent_id}"},
    ("POST", "/tickets/{ticket_id}/unassign"): {**IN_WORKSPACE, "expected_status": "open"},
    ("POST", "/tickets/{ticket_id}/delegate"): {
        **IN_WORKSPACE,
        "delegated_by_agent_id": "{collaborator_id}",
        "agent_id": "{agent_id}",
        "child": {**WORDS, "mode": "chat", "expected_output_schema": True},
    },
    ("POST", "/tickets/{ticket_id}/labels"): {**IN_WORKSPACE, "labels": ["x", "y"]},
    ("POST", "/tickets/{ticket_id}/collaborators"): {
        **IN_WORKSPACE,
        "collaborator_id": "user:x",
        "role": "owner",
    },
    ("POST", "/tickets/{ticket_id}/links"): {
        **IN_WORKSPACE,
        "type": "duplicate_of",
        "target_ticket_id": "{other_ticket_id}",
        "direction": "outgoing",
        "close_duplicate": False,
    },
    ("POST", "/tickets/{ticket_id}/comments"): {
        **IN_WORKSPACE,
        "body": "b",
        "kind": "user_question",
    },
}
# These end what the place holds.
ENDINGS = ("/cancel", "/transition", "/fail", "/release")


def target(place: Place, path: str) -> str:
    """Return a path with the ids of what is there."""
    return path.format(**place.ids).replace(" ", "%20")


def document(place: Place, operation: tuple[str, str]) -> Json:
    """Return a document that the operation accepts now."""
    made: Json = filled(
        copy.deepcopy(DOCUMENTS[operation]), {**place.ids, "new": new_id(), "id": new_id()}
    )
    return made


def filled(value: Any, ids: dict[str, str]) -> Any:
    """Return the value with ids in place of their names."""
    if isinstance(value, dict):
        return {key: filled(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    if isinstance(value, str) and value[:1] == "{":
        return ids[value[1:-1]]
    return value
