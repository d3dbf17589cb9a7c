"""What clients get about tickets: one type for each answer; its fields are the JSON fields."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from tickets.lifecycle.domain.documents import CommentKind, Mode, Priority, Provider
from tickets.lifecycle.domain.events import EventType
from tickets.lifecycle.domain.readiness import WaitReason
from tickets.lifecycle.domain.statuses import Status
from tickets.lifecycle.domain.sync_records import Sync

Json = Raw
DispatchState = Literal["none", "waiting", "queued", "claimed", "held", "external", "ended"]


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


class DispatchRow(Record, frozen=True, kw_only=True):
    """A task that a ticket was given; ``end_reason`` says why it is over."""

    ticket_id: str
    generation: int
    task_id: str
    pipeline_id: str
    agent_id: str
    state: Literal["queued", "claimed", "held", "waiting", "ended"]
    wait_reason: WaitReason | None
    stage: str
    run_id: str | None
    attempt: int | None
    lease_expires_at_ms: int | None
    last_error: str | None
    created_at_ms: int
    ended_at_ms: int | None
    end_reason: (
        Literal["completed", "failed", "dead_letter", "cancelled", "superseded", "withdrawn"]
        | None
    )


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
    sync: Sync | None
    created_by: str
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    status_changed_at_ms: int | None


class Team(Record, frozen=True, kw_only=True):
    """Agents that tickets of a workspace may be assigned to together."""

    id: str
    workspace_id: str
    name: str
    agent_ids: list[str]
    created_at_ms: int
    updated_at_ms: int


class Collaborator(Record, frozen=True, kw_only=True):
    """Who has a part in a ticket besides its assignee."""

    collaborator_id: str
    role: Literal["owner", "member"]
    added_by: str
    added_at_ms: int


class Link(Record, frozen=True, kw_only=True):
    """A link; ``direction`` is as seen from the ticket that was asked for."""

    id: str
    type: Literal["blocks", "relatesTo", "duplicateOf"]
    source_ticket_id: str
    target_ticket_id: str
    direction: Literal["outgoing", "incoming"]
    created_by: str
    created_at_ms: int


class Children(Record, frozen=True, kw_only=True):
    """How many tickets stand right below one, and how many have each status."""

    total: int
    by_status: dict[str, int]


class TicketDetails(Ticket, frozen=True, kw_only=True):
    """A ticket with what belongs to it; the first thousand of its links."""

    collaborators: list[Collaborator]
    links: list[Link]
    children: Children


class Participant(Record, frozen=True, kw_only=True):
    """Who is in a conversation."""

    participant_id: str
    role: Literal["owner", "member"]
    joined_at_ms: int


class Channel(Record, frozen=True, kw_only=True):
    """The conversation about a ticket."""

    id: str
    workspace_id: str
    ticket_id: str
    kind: Literal["ticket"]
    mode: Mode
    participants: list[Participant]


class Comment(Record, frozen=True, kw_only=True):
    """A message about a ticket; it never changes."""

    id: str
    ticket_id: str
    channel_id: str
    author: str
    kind: CommentKind
    body: str
    parent_comment_id: str | None
    external_id: str | None
    created_at_ms: int


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


class Feed(Record, frozen=True, kw_only=True):
    """A part of the feed; ``next_cursor`` is never null."""

    items: list[TicketEvent]
    next_cursor: str
