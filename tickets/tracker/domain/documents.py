"""What clients send: one type for each request document and query string.

Unknown fields are ignored and null stands for absent, because existing clients rely on both.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

MAX_NAME_BYTES = 512
MAX_TITLE_CHARACTERS = 1000
MAX_BULK_TASKS = 10_000
MAX_BATCH_EVENTS = 1000
MAX_CLAIMED_TASKS = 100
MAX_WAIT_MS = 60_000
MAX_LEASE_TTL_MS = 86_400_000
MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1
# Ten years: longer than any delay that is meant, and far from where sums overflow.
MAX_DURATION_MS = 315_360_000_000

Name = Annotated[str, Meta(max_length=MAX_NAME_BYTES)]
NonEmptyName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_BYTES)]
Title = Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)]
Int64 = Annotated[int, Meta(ge=MIN_INT64, le=MAX_INT64)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
DurationMs = Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)]
LeaseTtlMs = Annotated[int, Meta(ge=1, le=MAX_LEASE_TTL_MS)]
WaitMs = Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
JsonObject = dict[str, Any]
# Patterns that readers of the contract see; a cursor of another form has an error of its own.
IdCursor = Annotated[str, Meta(extra_json_schema={"pattern": "^[+-]?[0-9]{1,18}$"})]
TimeCursor = Annotated[str, Meta(extra_json_schema={"pattern": "^[+-]?[0-9]{1,18}:.+$"})]


def check_bytes(**names: str | None) -> None:
    """Return where every name fits its size in bytes, which the schema counts in characters.

    Raises ValueError, which the reader of documents turns into a refusal.
    """
    for field, value in names.items():
        if value is not None and len(value.encode()) > MAX_NAME_BYTES:
            raise ValueError(f"`{field}` is longer than {MAX_NAME_BYTES} bytes")


# What a schema can say of a pipeline definition; the rules across its parts it cannot.
DEFINITION_SCHEMA = {
    "type": "object",
    "required": ["initial", "states", "transitions"],
    "properties": {
        "initial": {"type": "string", "minLength": 1},
        "states": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "agent_role": {"type": ["string", "null"], "minLength": 1},
                    "description": {"type": ["string", "null"]},
                    "terminal": {"type": ["boolean", "null"]},
                    "workflow_id": {"type": ["string", "null"]},
                },
            },
        },
        "transitions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["from", "to", "trigger"],
                "properties": {
                    "from": {"type": "string", "minLength": 1},
                    "to": {"type": "string", "minLength": 1},
                    "trigger": {"type": "string", "minLength": 1},
                    "instructions": {"type": ["string", "null"]},
                    "required_gates": {
                        "type": ["array", "null"],
                        "items": {"type": "string", "minLength": 1},
                    },
                },
            },
        },
        "gates": {"enum": ["enforce", "inform", None]},
    },
}


class Document(Struct, frozen=True):
    """A request document."""


class NewPipeline(Document, frozen=True):
    """``POST /pipelines``. The definition is checked by its own rules."""

    name: NonEmptyName
    definition: Annotated[Any, Meta(extra_json_schema=DEFINITION_SCHEMA)]

    def __post_init__(self) -> None:
        check_bytes(name=self.name)


class BackoffDocument(Document, frozen=True):
    """How the delay grows: the n-th retry waits retry_delay_ms × factor^(n-1), ± jitter."""

    factor: Annotated[float, Meta(ge=1, le=1000)] | None = None
    max_delay_ms: DurationMs | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] | None = None


class RetryPolicyDocument(Document, frozen=True):
    """When a failed task is tried again, and where it ends up if that never helps."""

    max_attempts: Count | None = None
    retry_delay_ms: DurationMs | None = None
    dead_letter_stage: Name | None = None
    backoff: BackoffDocument | None = None


class NewTask(Document, frozen=True):
    """``POST /tasks``."""

    pipeline_id: str
    title: Title
    description: str
    priority: Int64 | None = None
    metadata: JsonObject | None = None
    retry_policy: RetryPolicyDocument | None = None
    dependencies: list[str] | None = None
    assigned_agent_id: Name | None = None
    assigned_by: Name | None = None

    def __post_init__(self) -> None:
        check_bytes(assigned_agent_id=self.assigned_agent_id, assigned_by=self.assigned_by)


class BulkTask(NewTask, frozen=True):
    """One item of ``POST /tasks/bulk``; ``ref`` names it for its siblings."""

    ref: NonEmptyName | None = None
    depends_on_refs: list[str] | None = None


class BulkTasks(Document, frozen=True):
    """``POST /tasks/bulk``: items are read one by one, so that a refusal names its index."""

    tasks: Annotated[list[Any], Meta(min_length=1, max_length=MAX_BULK_TASKS)]


class TaskChanges(Document, frozen=True):
    """``PATCH /tasks/{id}``: what is absent or null stays as it is."""

    title: Title | None = None
    description: str | None = None
    priority: Int64 | None = None
    metadata: JsonObject | None = None
    retry_policy: RetryPolicyDocument | None = None
    expected_task_version: Int64 | None = None


class TaskQuery(Document, frozen=True):
    """``GET /tasks``."""

    stage: str | None = None
    pipeline_id: str | None = None
    dead_lettered: Literal["true"] | None = None
    limit: Limit = 50
    cursor: TimeCursor | None = None


class PageQuery(Document, frozen=True):
    """A list with pages of 100."""

    limit: Limit = 100
    cursor: IdCursor | None = None


class ArrayQuery(Document, frozen=True):
    """A bare array; with ``limit`` it is cut, and ``X-Next-Cursor`` says where to go on."""

    limit: Limit | None = None
    cursor: IdCursor | None = None


class PipelinesQuery(ArrayQuery, frozen=True):
    """``GET /pipelines``."""

    cursor: TimeCursor | None = None


class RunState(Document, frozen=True):
    """``PUT /tasks/{id}/run-state``: an orchestrator's own run and state for a task."""

    run_id: Name | None = None
    workflow_state: Any = None

    def __post_init__(self) -> None:
        check_bytes(run_id=self.run_id)
        if self.run_id is None and self.workflow_state is not None:
            raise ValueError("`workflow_state` is kept with a run_id only")


class NewDependency(Document, frozen=True):
    """``POST /tasks/{id}/dependencies``."""

    depends_on_task_id: str


class NewAssignment(Document, frozen=True):
    """``POST /tasks/{id}/assignments``."""

    agent_id: Name
    assigned_by: Name | None = None

    def __post_init__(self) -> None:
        check_bytes(agent_id=self.agent_id, assigned_by=self.assigned_by)


class Concurrency(Document, frozen=True):
    """Limits that hold for one claim: stage name → most tasks leased in it at once."""

    per_state: dict[str, Count | None] | None = None


class ClaimRequest(Document, frozen=True):
    """``POST /leases/claim``."""

    agent_id: Name
    agent_role: Name
    lease_ttl_ms: LeaseTtlMs | None = None
    concurrency: Concurrency | None = None
    wait_ms: WaitMs | None = None
    max_tasks: Annotated[int, Meta(ge=1, le=MAX_CLAIMED_TASKS)] | None = None

    def __post_init__(self) -> None:
        check_bytes(agent_id=self.agent_id, agent_role=self.agent_role)


class HeartbeatRequest(Document, frozen=True):
    """``POST /leases/{id}/heartbeat``."""

    lease_ttl_ms: LeaseTtlMs


class NewEvent(Document, frozen=True):
    """One event of a run."""

    kind: Name
    data: Any = None

    def __post_init__(self) -> None:
        check_bytes(kind=self.kind)


class NewEvents(Document, frozen=True):
    """``POST /runs/{id}/events``: one event, or many under ``events``."""

    kind: Name | None = None
    data: Any = None
    events: (
        Annotated[list[NewEvent], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)] | None
    ) = None

    def __post_init__(self) -> None:
        if self.events is None and self.kind is None:
            raise ValueError("Object missing required field `kind`")
        check_bytes(kind=self.kind)


class NewGateResult(Document, frozen=True):
    """``POST /runs/{id}/gates``. The status is checked after the shape, with its own code."""

    gate: Name
    status: str
    evidence: Any = None
    actor: Name | None = None

    def __post_init__(self) -> None:
        check_bytes(gate=self.gate, actor=self.actor)


class TransitionRequest(Document, frozen=True):
    """``POST /runs/{id}/transition``."""

    trigger: str
    instructions: str | None = None
    usage: JsonObject | None = None
    expected_stage: str | None = None
    expected_task_version: Int64 | None = None
    # What came of it, for the manager of a managed task; ignored for others.
    output: Any = UNSET


class FailRequest(Document, frozen=True):
    """``POST /runs/{id}/fail``."""

    error: str
    usage: JsonObject | None = None


class OptionalReason(Document, frozen=True):
    """``POST /tasks/{id}/cancel`` and ``POST /runs/{id}/release``."""

    reason: str | None = None


class RequeueRequest(Document, frozen=True):
    """``POST /tasks/{id}/requeue``."""

    stage: str | None = None


class NewArtifact(Document, frozen=True):
    """``POST /artifacts``."""

    kind: Name
    uri: str
    task_id: str | None = None
    run_id: str | None = None
    sha256: str | None = None
    size_bytes: Int64 | None = None
    meta: JsonObject | None = None

    def __post_init__(self) -> None:
        check_bytes(kind=self.kind)


class ArtifactQuery(PageQuery, frozen=True):
    """``GET /artifacts``."""

    cursor: TimeCursor | None = None
    task_id: str | None = None
    run_id: str | None = None


class ChangesQuery(Document, frozen=True):
    """``GET /changes``."""

    after: IdCursor | None = None
    cursor: IdCursor | None = None
    kind: str | None = None
    wait_ms: WaitMs = 0
    limit: Limit = 100


class WhyQuery(Document, frozen=True):
    """``GET /tasks/{id}/why``."""

    agent_id: str | None = None


class QueueQuery(Document, frozen=True):
    """``GET /ops/queue``."""

    near_expiry_ms: DurationMs = 60_000
    stuck_ms: DurationMs = 300_000


class TraceQuery(PageQuery, frozen=True):
    """``GET /traces``."""

    run_id: str | None = None
    task_id: str | None = None
    trace_id: str | None = None


class NewEntry(Document, frozen=True):
    """``PUT /store/{namespace}/{key}``; the value is required and may be null."""

    value: Any


class EntriesQuery(ArrayQuery, frozen=True):
    """``GET /store/{namespace}``."""

    cursor: str | None = None
    prefix: str | None = None


class SearchQuery(Document, frozen=True):
    """``GET /store/search``."""

    q: str
    namespace: str | None = None
    limit: Limit = 10
    filter_path: str | None = None
    filter_value: str | None = None
