"""What clients get about tickets: one type for each answer; its fields are the JSON fields."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from tickets.lifecycle.domain.documents import Mode, Priority, Provider
from tickets.lifecycle.domain.events import EventType
from tickets.lifecycle.domain.statuses import Status

Json = Raw
DispatchState = Literal["none", "waiting", "queued", "claimed", "held", "external", "ended"]
WaitReason = Literal[
    "workspace_paused",
    "blocked_by_dependency",
    "pipeline_unavailable",
    "agent_unavailable",
    "agent_busy",
    "no_agent_for_role",
]


class Record(Struct, frozen=True, kw_only=True):
    """An answer document."""


class Workspace(Record, frozen=True, kw_only=True):
    """A workspace; ``dispatch`` holds the settings that were given."""

    id: str
    name: str
    status: Literal["active", "paused", "archived"]
    dispatch: Json
    created_at_ms: int
    updated_at_ms: int


class Agent(Record, frozen=True, kw_only=True):
    """An agent that tickets of a workspace may be assigned to."""

    id: str
    workspace_id: str
    role: str
    enabled: bool
    max_active_tickets: int | None
    display_name: str | None
    linear_user_id: str | None
    created_at_ms: int
    updated_at_ms: int


class Dispatch(Record, frozen=True, kw_only=True):
    """Where the work on a ticket stands, and how it is to be done."""

    state: DispatchState
    wait_reason: WaitReason | None
    generation: int
    pipeline_id: str | None
    task_id: str | None
    stage: str | None
    run_id: str | None
    attempt: int | None
    agent_id: str | None
    lease_expires_at_ms: int | None
    last_error: str | None
    retry_policy: Json | None
    on_invalid_output: Literal["fail", "reject"] | None
    on_dead_letter: Literal["fail", "block"] | None


class Ticket(Record, frozen=True, kw_only=True):
    """A ticket. ``version`` is its ETag."""

    id: str
    workspace_id: str
    title: str
    description: str | None
    status: Status
    priority: Priority
    provider: Provider
    external_key: str | None
    url: str | None
    assigned_agent_id: str | None
    assigned_team_id: str | None
    delegated_by_agent_id: str | None
    channel_id: str | None
    mode: Mode
    pipeline_run_id: str | None
    project_id: str | None
    parent_ticket_id: str | None
    expected_output_schema: Json | None
    output_json: Json | None
    error_message: str | None
    execution_locked_at: int | None
    version: int
    labels: list[str]
    status_reason: str | None
    blocked_kind: Literal["input", "dependency"] | None
    is_blocked: bool
    blocked_by: list[str]
    dispatch: Dispatch
    sync: None
    created_by: str
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    status_changed_at_ms: int | None


class TicketEvent(Record, frozen=True, kw_only=True):
    """A fact about a ticket; ids ascend in commit order."""

    id: int
    workspace_id: str
    ticket_id: str
    type: EventType
    version: int
    actor: str
    occurred_at_ms: int
    caused_by: int | None
    data: Json
