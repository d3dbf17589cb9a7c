"""A ticket as it is stored: what a change works on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tickets.lifecycle.errors import ExecutionLocked, TicketTerminal

TERMINAL: Final = frozenset({"done", "failed", "cancelled"})
PRIORITIES: Final = ("low", "medium", "high", "critical")
# Fields that change without a new version: where the work on it stands.
QUIET: Final = frozenset({"dispatch_state", "wait_reason", "generation"})
# What an agent at work was given, so that it does not change under its hands.
_LOCKED: Final = frozenset(
    {
        "mode",
        "output_schema_json",
        "provider",
        "dispatch_pipeline_id",
        "retry_policy_json",
        "on_invalid_output",
        "on_dead_letter",
    }
)
# What may be corrected after the end, too.
_ALWAYS: Final = frozenset(
    {
        "title",
        "description",
        "search_text",
        "priority",
        "labels_json",
        "label_keys",
        "project_id",
    }
)


class TicketState(Struct, kw_only=True):
    """The columns of a ticket. A change gets a copy and writes to that."""

    id: str
    workspace_id: str
    title: str
    description: str | None = None
    status: str
    priority: int
    provider: str
    external_id: str | None = None
    external_key: str | None = None
    url: str | None = None
    assigned_agent_id: str | None = None
    assigned_team_id: str | None = None
    delegated_by_agent_id: str | None = None
    channel_id: str | None = None
    mode: str
    pipeline_run_id: str | None = None
    project_id: str | None = None
    parent_ticket_id: str | None = None
    output_schema_json: str | None = None
    output_json: str | None = None
    error_message: str | None = None
    execution_locked_at_ms: int | None = None
    version: int
    labels_json: str
    label_keys: str
    search_text: str
    status_reason: str | None = None
    blocked_kind: str | None = None
    dispatch_state: str
    wait_reason: str | None = None
    generation: int = 0
    dispatch_pipeline_id: str | None = None
    retry_policy_json: str | None = None
    on_invalid_output: str | None = None
    on_dead_letter: str | None = None
    created_by: str
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    status_changed_at_ms: int | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether work on it has ended."""
        return self.status in TERMINAL

    @property
    def is_assigned(self) -> bool:
        """Whether an agent or a team is to work on it."""
        return self.assigned_agent_id is not None or self.assigned_team_id is not None

    @property
    def labels(self) -> list[str]:
        """The labels in the order in which they came."""
        labels: list[str] = json.loads(self.labels_json)
        return labels

    def name_labels(self, labels: Sequence[str]) -> None:
        """Take these labels instead."""
        self.labels_json = _json(list(labels))
        self.label_keys = "".join(sorted(label_key(label) for label in labels))

    def describe(self, title: str, description: str | None) -> None:
        """Take this title and description instead."""
        self.title, self.description = title, description
        self.search_text = f"{title}\n{description or ''}".casefold()


def check_writable(before: TicketState, after: TicketState) -> None:
    """Return where the ticket may change in this way besides its status.

    Raises TicketTerminal, ExecutionLocked.
    """
    changed = {
        name
        for name in before.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    }
    if before.is_terminal and changed - _ALWAYS:
        raise TicketTerminal
    if before.execution_locked_at_ms is not None and changed & _LOCKED:
        raise ExecutionLocked


def label_key(label: str) -> str:
    """Return what stands in ``label_keys`` for a label: folded, and without a line break."""
    return f"\n{_json(label.casefold())[1:-1]}\n"


def merged_labels(labels: Sequence[str]) -> list[str]:
    """Return labels trimmed, without repetitions in any case; the first spelling stays."""
    kept: dict[str, str] = {}
    for label in map(str.strip, labels):
        kept.setdefault(label.casefold(), label)
    return list(kept.values())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
