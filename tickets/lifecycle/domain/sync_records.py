"""What clients get about integrations and sync."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Raw, Struct


class Record(Struct, frozen=True, kw_only=True):
    """An answer document."""


class SecretView(Record, frozen=True, kw_only=True):
    """That there is a secret; ``last4`` only of one that is long enough to stay one."""

    set: bool
    last4: str | None


class QueueCounts(Record, frozen=True, kw_only=True):
    """Rows of the outbox that have not been sent."""

    pending: int
    inflight: int
    dead: int


class IntegrationView(Record, frozen=True, kw_only=True):
    """An integration with Linear, without what must not be seen.

    ``last_error`` is null while the sync works; the times are those of the newest failure and
    of a success not long ago.
    """

    workspace_id: str
    enabled: bool
    auth_kind: Literal["api_key", "oauth"]
    api_key: SecretView
    team_id: str
    webhook_secrets: list[SecretView]
    import_issues: bool
    create_labels: bool
    status_map: dict[str, str]
    replay_window_ms: int
    reconcile_interval_ms: int
    status: Literal["ok", "auth_failed", "disabled", "secrets_unreadable"]
    last_error: str | None
    last_error_at_ms: int | None
    last_success_at_ms: int | None
    queue: QueueCounts
    cursor_ms: int
    created_at_ms: int
    updated_at_ms: int


class StateView(Record, frozen=True, kw_only=True):
    """A state of the team, and the status that it stands for."""

    id: str
    name: str
    type: str
    position: float
    status: str | None


class Verification(Record, frozen=True, kw_only=True):
    """What Linear answered about key and team."""

    ok: bool
    viewer_id: str
    team_name: str
    states: list[StateView]


class ReconcileAnswer(Record, frozen=True, kw_only=True):
    """From which change on issues are read; ``updatedAt`` of the newest one known."""

    cursor_ms: int


class OutboxRow(Record, frozen=True, kw_only=True):
    """Something that Linear is to hear."""

    id: int
    ticket_id: str
    op: Literal[
        "issue_create", "issue_update", "comment_create", "relation_create", "relation_delete"
    ]
    payload: Raw
    state: Literal["pending", "inflight", "done", "dead"]
    attempts: int
    next_attempt_at_ms: int
    last_error: str | None
    created_at_ms: int
    updated_at_ms: int


class SyncConflict(Record, frozen=True, kw_only=True):
    """What the ticket could not take over; ``local`` and ``remote`` are as it happened."""

    code: str
    field: str
    local: Any
    remote: Any
    at_ms: int


class Sync(Record, frozen=True, kw_only=True):
    """How a ticket and its issue stand to each other."""

    state: Literal["pending", "synced", "error", "conflict", "detached"]
    external_id: str
    remote_status: str | None
    remote_state_type: str | None
    remote_updated_at_ms: int | None
    last_synced_at_ms: int | None
    pending: int
    attempts: int
    last_error: str | None
    conflict: SyncConflict | None


class SyncDetails(Record, frozen=True, kw_only=True):
    """``sync`` with what both sides last agreed on and what is still to be sent."""

    sync: Sync
    shadow: dict[str, Any]
    pending: list[OutboxRow]


class WebhookAnswer(Record, frozen=True, kw_only=True):
    """What became of a webhook."""

    status: Literal["accepted", "duplicate", "ignored"]
