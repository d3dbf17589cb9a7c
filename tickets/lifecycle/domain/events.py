"""Events: what is told of a change, derived from the ticket before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, get_args

from msgspec import Raw, Struct, field

from tickets.lifecycle.domain.state import PRIORITIES, TicketState

EventType = Literal[
    "TicketCreated",
    "TicketAssigned",
    "TicketReassigned",
    "TicketDelegated",
    "TicketStarted",
    "TicketCompleted",
    "TicketFailed",
    "TicketCancelled",
    "TicketStatusChanged",
    "TicketCollaboratorAdded",
    "TicketDetailsUpdated",
]
EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)
MAX_SHOWN_CHARACTERS: Final = 200

# Fields told under TicketDetailsUpdated as they are stored, by the name that clients know.
_PLAIN: Final = {
    "title": "title",
    "description": "description",
    "project_id": "project_id",
    "parent_ticket_id": "parent_ticket_id",
    "mode": "mode",
    "provider": "provider",
    "external_key": "external_key",
    "url": "url",
    "dispatch_pipeline_id": "dispatch.pipeline_id",
    "on_invalid_output": "dispatch.on_invalid_output",
    "on_dead_letter": "dispatch.on_dead_letter",
}
_STORED_JSON: Final = {
    "output_schema_json": "expected_output_schema",
    "retry_policy_json": "dispatch.retry_policy",
}


class Event(NamedTuple):
    """An event before it is stored."""

    type: EventType
    data: dict[str, Any]


class Notes(Struct, kw_only=True):
    """What a change says of itself that the ticket does not show; filled in while it is made.

    ``details`` are further entries of TicketDetailsUpdated, each as it is shown there.
    """

    actor: str
    now_ms: int
    # Whether a lease token proved that the actor is the agent at work.
    is_holder: bool = False
    caused_by: int | None = None
    # The last event that was told of it, once it was.
    last_event_id: int | None = None
    trigger: str | None = None
    # Tickets that may be able to start now, or no longer.
    touched: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    collaborators: list[dict[str, Any]] = field(default_factory=list)
    # Whether an agent handed the ticket on, and how deep that goes by now.
    delegation_depth: int | None = None
    error_code: str = "reported"
    output_errors: list[dict[str, str]] = field(default_factory=list)
    task_id: str | None = None
    run_id: str | None = None
    pipeline_id: str | None = None
    stage: str | None = None
    withdrawn_task_id: str | None = None
    withdrawn_run_id: str | None = None


def events_of(before: TicketState | None, after: TicketState, notes: Notes) -> list[Event]:
    """Return the events of one change, in the order in which they are told."""
    return [
        *_created(before, after),
        *_details(before, after, notes),
        *_assigned(before, after, notes),
        *_delegated(after, notes),
        *(Event("TicketCollaboratorAdded", each) for each in notes.collaborators),
        *_status(before, after, notes),
    ]


def _created(before: TicketState | None, after: TicketState) -> Iterator[Event]:
    if before is None:
        shown = {
            "title": after.title,
            "status": after.status,
            "priority": PRIORITIES[after.priority - 1],
            "provider": after.provider,
            "parent_ticket_id": after.parent_ticket_id,
            "labels": after.labels,
            "created_by": after.created_by,
        }
        yield Event("TicketCreated", shown)


def _details(before: TicketState | None, after: TicketState, notes: Notes) -> Iterator[Event]:
    if before is None:
        return
    changed = _changed_values(before, after)
    if before.labels_json != after.labels_json:
        changed["labels"] = difference(before.labels, after.labels)
    if before.channel_id != after.channel_id and before.status == after.status:
        _add(changed, "channel_id", before.channel_id, after.channel_id)
    if before.is_assigned and not after.is_assigned:
        _add(changed, "assigned_agent_id", before.assigned_agent_id, None)
        _add(changed, "assigned_team_id", before.assigned_team_id, None)
    changed |= notes.details
    if changed:
        yield Event("TicketDetailsUpdated", {"changed": changed})


def _changed_values(before: TicketState, after: TicketState) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for column, name in _PLAIN.items():
        _add(changed, name, getattr(before, column), getattr(after, column))
    for column, name in _STORED_JSON.items():
        _add(changed, name, _raw(getattr(before, column)), _raw(getattr(after, column)))
    words = (PRIORITIES[before.priority - 1], PRIORITIES[after.priority - 1])
    _add(changed, "priority", *words)
    return changed


def difference(before: list[str], after: list[str]) -> dict[str, list[str]]:
    """Return what came to a list and what left it."""
    return {
        "added": [each for each in after if each not in before],
        "removed": [each for each in before if each not in after],
    }


def _add(changed: dict[str, Any], name: str, before: Any, after: Any) -> None:
    if before != after:
        changed[name] = {"from": _shown(before), "to": _shown(after)}


def _shown(value: Any) -> Any:
    return value[:MAX_SHOWN_CHARACTERS] if isinstance(value, str) else value


def _raw(text: str | None) -> Raw | None:
    return None if text is None else Raw(text.encode())


def _is_started(before: TicketState | None, after: TicketState) -> bool:
    return before is not None and (before.status, after.status) == ("open", "in_progress")


def _assigned(before: TicketState | None, after: TicketState, notes: Notes) -> Iterator[Event]:
    was_agent = None if before is None else before.assigned_agent_id
    was_team = None if before is None else before.assigned_team_id
    if (was_agent, was_team) == (after.assigned_agent_id, after.assigned_team_id):
        return
    if was_agent is None and was_team is None:
        shown: dict[str, Any] = {
            "agent_id": after.assigned_agent_id,
            "team_id": after.assigned_team_id,
            "assigned_by": notes.actor,
        }
        yield Event("TicketAssigned", shown)
    elif after.is_assigned and not _is_chosen(before, after):
        assert before is not None
        shown = {
            "from_agent_id": was_agent,
            "to_agent_id": after.assigned_agent_id,
            "from_team_id": was_team,
            "to_team_id": after.assigned_team_id,
            "from_generation": before.generation,
            "to_generation": after.generation,
        }
        yield Event("TicketReassigned", shown)


def _is_chosen(before: TicketState | None, after: TicketState) -> bool:
    """Tell whether a start gave the ticket of a team to one of its members."""
    return (
        before is not None
        and before.assigned_agent_id is None
        and before.assigned_team_id == after.assigned_team_id
        and _is_started(before, after)
    )


def _delegated(after: TicketState, notes: Notes) -> Iterator[Event]:
    if notes.delegation_depth is not None:
        shown = {
            "delegated_by_agent_id": after.delegated_by_agent_id,
            "to_agent_id": after.assigned_agent_id,
            "parent_ticket_id": after.parent_ticket_id,
            "depth": notes.delegation_depth,
        }
        yield Event("TicketDelegated", shown)


def _status(before: TicketState | None, after: TicketState, notes: Notes) -> Iterator[Event]:
    if before is None or before.status == after.status:
        return
    if before.status == "open" and after.status == "in_progress":
        yield Event("TicketStarted", _started(after, notes))
    elif after.status == "done":
        yield Event("TicketCompleted", _completed(after, notes))
    elif after.status == "failed":
        yield Event("TicketFailed", _failed(after, notes))
    elif after.status == "cancelled":
        shown = {
            "reason": after.status_reason,
            "from": before.status,
            "withdrawn_task_id": notes.withdrawn_task_id,
            "withdrawn_run_id": notes.withdrawn_run_id,
        }
        yield Event("TicketCancelled", shown)
    shown = {
        "from": before.status,
        "to": after.status,
        "trigger": notes.trigger,
        "reason": after.status_reason,
    }
    yield Event("TicketStatusChanged", shown)


def _started(after: TicketState, notes: Notes) -> dict[str, Any]:
    return {
        "agent_id": after.assigned_agent_id,
        "task_id": notes.task_id,
        "pipeline_id": notes.pipeline_id,
        "generation": after.generation,
        "channel_id": after.channel_id,
        "external": after.dispatch_state == "external",
    }


def _completed(after: TicketState, notes: Notes) -> dict[str, Any]:
    assert after.started_at_ms is not None, "nothing ends well that was not begun"
    return {
        "output_json": _raw(after.output_json),
        "task_id": notes.task_id,
        "run_id": notes.run_id,
        "generation": after.generation,
        "duration_ms": notes.now_ms - after.started_at_ms,
    }


def _failed(after: TicketState, notes: Notes) -> dict[str, Any]:
    return {
        "error_code": notes.error_code,
        "error_message": after.error_message,
        "output_errors": notes.output_errors,
        "task_id": notes.task_id,
        "run_id": notes.run_id,
    }
