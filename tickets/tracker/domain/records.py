"""What clients get: one type for each answer; its fields are the JSON fields, in order."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

# Stored JSON, put into the answer as it lies in the database.
Json = Raw

RunStatus = Literal["running", "completed", "failed", "stale", "released", "cancelled"]


class Record(Struct, frozen=True):
    """An answer document."""


class Created(Record, frozen=True):
    """A new thing's id (UUID)."""

    id: str


class CreatedRow(Record, frozen=True):
    """A new row's id, ascending in its table."""

    id: int


class CreatedMany(Record, frozen=True):
    """Ids of new tasks, in the order of the request."""

    ids: list[str]


class CreatedRows(Record, frozen=True):
    """Ids of new events, in the order of the request."""

    ids: list[int]


class Outcome(Record, frozen=True):
    """What was done, in one word."""

    status: str


class Pipeline(Record, frozen=True):
    """A pipeline; ``definition`` is the document as it was sent."""

    id: str
    name: str
    definition: Json
    created_at_ms: int


class NewPipelineAnswer(Record, frozen=True):
    """A new pipeline; ``warnings`` are absent where there is nothing odd in the definition."""

    id: str
    warnings: list[str] | UnsetType = UNSET


class Task(Record, frozen=True):
    """A task. ``retry_backoff`` is null for a constant delay."""

    id: str
    pipeline_id: str
    stage: str
    title: str
    description: str
    priority: int
    metadata: Json
    task_version: int
    next_eligible_at_ms: int
    max_attempts: int | None
    retry_delay_ms: int
    dead_letter_stage: str | None
    dead_letter_reason: str | None
    created_at_ms: int
    updated_at_ms: int
    failed_attempts: int
    retry_backoff: Json | None


class Run(Record, frozen=True):
    """One attempt at a task."""

    id: str
    task_id: str
    attempt: int
    status: RunStatus
    agent_id: str | None
    agent_role: str | None
    started_at_ms: int | None
    ended_at_ms: int | None
    usage: Json
    error: str | None


class Dependency(Record, frozen=True):
    """An edge; a dead-lettered task stays unresolved and says why."""

    depends_on_task_id: str
    resolved: bool
    dead_letter_reason: str | None


class TaskAssignment(Record, frozen=True):
    """An assignment inside its task."""

    agent_id: str
    assigned_by: str | None
    active: bool
    created_at_ms: int
    updated_at_ms: int


class Assignment(Record, frozen=True):
    """An assignment in a list of its own."""

    task_id: str
    agent_id: str
    assigned_by: str | None
    active: bool
    created_at_ms: int
    updated_at_ms: int


class TransitionOption(Record, frozen=True):
    """A way out of the present stage."""

    trigger: str
    to: str
    required_gates: list[str]


class TaskDetails(Task, frozen=True, kw_only=True):
    """A task with what belongs to it; ``latest_run`` is absent before the first claim."""

    latest_run: Run | UnsetType = UNSET
    dependencies: list[Dependency]
    assignments: list[TaskAssignment]
    available_transitions: list[TransitionOption]


class Claim(Record, frozen=True):
    """A granted claim. The token is shown here and never again."""

    task: Task
    run: Run
    lease_id: str
    lease_token: str
    expires_at_ms: int


class Claims(Record, frozen=True):
    """Granted claims, best first; the answer where the request had ``max_tasks``."""

    claims: list[Claim]


class Heartbeat(Record, frozen=True):
    """When the lease ends now."""

    expires_at_ms: int


class Event(Record, frozen=True):
    """A line in a run's history."""

    id: int
    run_id: str
    ts_ms: int
    kind: str
    data: Json


class GateResult(Record, frozen=True):
    """One result of a quality gate; the newest for a gate is its state."""

    id: int
    run_id: str
    task_id: str
    gate: str
    status: Literal["pass", "fail"]
    evidence: Json
    actor: str | None
    ts_ms: int


class Transitioned(Record, frozen=True):
    """A stage change that happened."""

    previous_stage: str
    new_stage: str
    trigger: str


class Artifact(Record, frozen=True):
    """Something that a task or run brought forth."""

    id: str
    task_id: str | None
    run_id: str | None
    created_at_ms: int
    kind: str
    uri: str
    sha256: str | None
    size_bytes: int | None
    meta: Json


class TaskRunState(Record, frozen=True):
    """An orchestrator's own run for the task, and the state it keeps with it."""

    run_id: str
    workflow_state: Json | None


class Reason(Record, frozen=True):
    """One reason why a task cannot be claimed now; keys beyond ``code`` depend on it."""

    code: Literal[
        "terminal_stage",
        "no_role",
        "dead_lettered",
        "leased",
        "delayed",
        "blocked_by",
        "held",
        "assigned",
    ]
    reason: str | UnsetType = UNSET
    run_id: str | UnsetType = UNSET
    agent_id: str | UnsetType = UNSET
    task_ids: list[str] | UnsetType = UNSET
    until_ms: int | UnsetType = UNSET


class Why(Record, frozen=True):
    """Whether a task can be claimed now, and all that stands against it."""

    claimable: bool
    reasons: list[Reason]


class Change(Record, frozen=True):
    """One fact in the feed; ids ascend in commit order."""

    id: int
    ts_ms: int
    kind: str
    task_id: str | None
    run_id: str | None
    data: Json


class Changes(Record, frozen=True):
    """A part of the feed; ``next_cursor`` is never null."""

    items: list[Change]
    next_cursor: str


class StageCount(Record, frozen=True):
    """Tasks in the stages of one name."""

    stage: str
    count: int


class Health(Record, frozen=True):
    """The service at a glance."""

    status: str
    version: str
    tasks_by_stage: list[StageCount]
    active_leases: int
    sqlite_version: str | UnsetType = UNSET
    postgresql_version: str | UnsetType = UNSET


class Ready(Record, frozen=True):
    """The database answers and its schema is current."""

    status: str


class RoleQueue(Record, frozen=True):
    """One role's queue: the first five counters as ever, then what waits and why."""

    role: str
    claimable_count: int
    oldest_claimable_age_ms: int | None
    failed_count: int
    stuck_count: int
    near_expiry_leases: int
    assigned_count: int
    blocked_count: int
    scheduled_count: int
    leased_count: int
    dead_letter_count: int
    expired_leases: int


class Queue(Record, frozen=True):
    """Every role's queue, sorted by role."""

    roles: list[RoleQueue]
    generated_at_ms: int


class Entry(Record, frozen=True):
    """A key-value entry; ``version`` rises by one with every write and is its ETag.

    An entry that was deleted and is created again starts above every version it ever had.
    """

    namespace: str
    key: str
    value: Json
    created_at_ms: int
    updated_at_ms: int
    version: int


class PartialSuccess(Record, frozen=True):
    """What a trace export lost, in OTLP's own words."""

    rejectedSpans: int  # noqa: N815  # OTLP's own name
    errorMessage: str  # noqa: N815  # OTLP's own name


class TracesStored(Record, frozen=True):
    """The answer to a trace export; ``partialSuccess`` where something was not stored."""

    batch_id: int
    accepted_spans: int
    stored: Literal["json", "blob"]
    partialSuccess: PartialSuccess | UnsetType = UNSET  # noqa: N815  # OTLP's own name


class Span(Record, frozen=True):
    """A stored span. Times are Unix nanoseconds."""

    id: int
    batch_id: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str | None
    start_time_unix_nano: int | None
    end_time_unix_nano: int | None
    status_code: str | None
    status_message: str | None
    attributes: Json
    resource_attributes: Json
    scope_name: str | None
    scope_version: str | None
    run_id: str | None
    task_id: str | None
    raw: Json
