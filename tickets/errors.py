"""The one exception family: what can go wrong, under which code and status.

::

    TicketsError                        500  internal_error
    ├── Invalid                         400  invalid_request
    │   ├── InvalidJson                      invalid_json
    │   ├── ValidationFailed                 validation_failed
    │   ├── InvalidDependency                invalid_dependency
    │   ├── InvalidTransition                invalid_transition
    │   ├── InvalidStatus                    invalid_status
    │   ├── InvalidState                     invalid_state
    │   ├── InvalidLimit                     invalid_limit
    │   ├── InvalidCursor                    invalid_cursor
    │   ├── InvalidPath                      invalid_path
    │   ├── InvalidFilter                    invalid_filter
    │   ├── InvalidQuery                     invalid_query
    │   ├── MissingParam                     missing_param
    │   ├── ReservedNamespace                reserved_namespace
    │   └── ReservedEventKind                reserved_event_kind
    ├── Unauthorized                    401  unauthorized
    ├── Forbidden                       403  forbidden
    │   ├── ReservedReq                      reserved_req
    │   └── ReservedChannel                  reserved_channel
    ├── NotFound                        404  not_found
    │   ├── PipelineNotFound                 pipeline_not_found
    │   ├── TaskNotFound                     task_not_found
    │   ├── DependencyTaskNotFound           dependency_task_not_found
    │   ├── RunNotFound                      run_not_found
    │   └── DeliveryNotFound                 delivery_not_found
    ├── MethodNotAllowed                405  method_not_allowed
    ├── Conflict                        409  conflict
    │   ├── DuplicateName                    duplicate_name
    │   ├── DuplicateDependency              duplicate_dependency
    │   ├── DependencyCycle                  dependency_cycle
    │   ├── ExpectedStageMismatch            expected_stage_mismatch
    │   ├── TaskVersionMismatch              task_version_mismatch
    │   ├── RequiredGatesNotPassed           required_gates_not_passed
    │   ├── IdempotencyConflict              idempotency_conflict
    │   ├── RunTaskMismatch                  run_task_mismatch
    │   ├── TaskTerminal                     task_terminal
    │   ├── NotDeadLettered                  not_dead_lettered
    │   ├── TaskLeased                       task_leased
    │   ├── StateNotAllowed                  invalid_transition
    │   ├── AlreadyTerminal                  already_terminal
    │   ├── StateMismatch                    state_mismatch
    │   └── EventIdConflict                  event_id_conflict
    ├── Gone                            410  gone
    │   ├── LeaseExpired                     expired
    │   └── ChangesPruned                    changes_pruned
    ├── PreconditionFailed              412  precondition_failed
    ├── PayloadTooLarge                 413  payload_too_large
    ├── UnsupportedEncoding             415  unsupported_encoding
    ├── Busy                            503  busy, with Retry-After
    │   └── OutcomeUnknown                   outcome_unknown
    ├── DatabaseReplaced                503  database_replaced
    └── StorageFull                     507  storage_full
"""

from __future__ import annotations

from typing import ClassVar


class TicketsError(Exception):
    """A failure with a stable code; raised as it is only for our own mistakes.

    ``details`` are further keys for the client: a list of ``{"field", "problem"}`` where a
    document or parameter was refused, else an object. ``version`` is that of what is stored,
    which the answer shows as ``ETag``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    message: ClassVar[str] = "The service failed; the request may be repeated"

    def __init__(self, message: str | None = None, *, details: object = None) -> None:
        self.text = message or self.message
        self.details = details
        self.version: int | None = None
        super().__init__(self.text)


class Invalid(TicketsError):
    """The request itself is wrong; repeating it unchanged cannot help."""

    status = 400
    code = "invalid_request"
    message = "The request is not valid"

    @classmethod
    def field(cls, field: str, problem: str) -> Invalid:
        """Return this error for one field of a document or one query parameter."""
        return cls(f"{field}: {problem}", details=[{"field": field, "problem": problem}])


class InvalidJson(Invalid):
    """The body is not one JSON object, or cannot be read without loss."""

    code = "invalid_json"
    message = "The body is not valid JSON"


class ValidationFailed(Invalid):
    """A pipeline definition breaks a rule."""

    code = "validation_failed"
    message = "The pipeline definition is not valid"


class InvalidDependency(Invalid):
    """A task cannot depend on itself."""

    code = "invalid_dependency"
    message = "A task cannot depend on itself"


class InvalidTransition(Invalid):
    """The present stage has no transition with this trigger."""

    code = "invalid_transition"
    message = "No transition with this trigger leaves the task's stage"


class InvalidStatus(Invalid):
    """A gate's status is neither pass nor fail."""

    code = "invalid_status"
    message = "A gate's status is 'pass' or 'fail'"


class InvalidState(Invalid):
    """The ledger knows no state of this name."""

    code = "invalid_state"
    message = "The ledger knows no state of this name"


class InvalidLimit(Invalid):
    """``limit`` is not an integer between 1 and 1000."""

    code = "invalid_limit"
    message = "limit must be an integer from 1 to 1000"


class InvalidCursor(Invalid):
    """The cursor was not made by this service."""

    code = "invalid_cursor"
    message = "The cursor is malformed; use next_cursor of the page before"


class InvalidPath(Invalid):
    """The path is not UTF-8 or holds U+0000."""

    code = "invalid_path"
    message = "The path must be UTF-8 without U+0000"


class InvalidFilter(Invalid):
    """A search filter path cannot be read."""

    code = "invalid_filter"
    message = 'filter_path is not a path such as $.a.b, $.list[0] or $."a.b"'


class InvalidQuery(Invalid):
    """A search query holds nothing to search for."""

    code = "invalid_query"
    message = "q holds no word to search for"


class MissingParam(Invalid):
    """A required query parameter is absent."""

    code = "missing_param"
    message = "A required query parameter is missing"


class ReservedNamespace(Invalid):
    """The store's namespace ``search`` belongs to the search endpoint."""

    code = "reserved_namespace"
    message = "The namespace 'search' is reserved for GET /store/search"


class ReservedEventKind(Invalid):
    """The event kind is one that only the service writes."""

    code = "reserved_event_kind"
    message = "This event kind is written by the service only"


class Unauthorized(TicketsError):
    """The bearer token is missing, malformed or wrong."""

    status = 401
    code = "unauthorized"
    message = "A valid bearer token is required"


class Forbidden(TicketsError):
    """Nobody may do this over HTTP, whatever token the request carries."""

    status = 403
    code = "forbidden"
    message = "This is not allowed over HTTP"


class ReservedReq(Forbidden):
    """The req or event id is one that only the service writes."""

    code = "reserved_req"
    message = "This req or event_id begins with a prefix that only the service writes"


class ReservedChannel(Forbidden):
    """The channel is one that only the service delivers to."""

    code = "reserved_channel"
    message = "Channels that begin with linear- or system- belong to the service"


class NotFound(TicketsError):
    """No such route, row, active lease or active assignment."""

    status = 404
    code = "not_found"
    message = "Not found"


class PipelineNotFound(NotFound):
    """A new task names an unknown pipeline."""

    code = "pipeline_not_found"
    message = "No pipeline has this id"


class TaskNotFound(NotFound):
    """A document or path names an unknown task."""

    code = "task_not_found"
    message = "No task has this id"


class DependencyTaskNotFound(NotFound):
    """The task to depend on is unknown."""

    code = "dependency_task_not_found"
    message = "No task has the id given in depends_on_task_id"


class RunNotFound(NotFound):
    """A document names an unknown run."""

    code = "run_not_found"
    message = "No run has this id"


class DeliveryNotFound(NotFound):
    """No delivery has this id."""

    code = "delivery_not_found"
    message = "No delivery has this id"


class MethodNotAllowed(TicketsError):
    """The path exists, but not with this method; ``Allow`` lists what does."""

    status = 405
    code = "method_not_allowed"
    message = "This path does not have this method; see the Allow header"


class Conflict(TicketsError):
    """The state of the service does not allow it."""

    status = 409
    code = "conflict"
    message = "The run is no longer running"


class DuplicateName(Conflict):
    """A pipeline of this name exists."""

    code = "duplicate_name"
    message = "A pipeline with this name exists"


class DuplicateDependency(Conflict):
    """The edge exists, or is named twice."""

    code = "duplicate_dependency"
    message = "The task depends on this task already"


class DependencyCycle(Conflict):
    """The edge would close a circle in which no task could ever start."""

    code = "dependency_cycle"
    message = "The dependency would close a cycle"


class ExpectedStageMismatch(Conflict):
    """The task is in another stage than the caller expected."""

    code = "expected_stage_mismatch"
    message = "The task is in another stage than expected; read it again"


class TaskVersionMismatch(Conflict):
    """The task has another version than the caller expected."""

    code = "task_version_mismatch"
    message = "The task has another version than expected; read it again"


class RequiredGatesNotPassed(Conflict):
    """A required gate is missing on this run or its newest result is fail."""

    code = "required_gates_not_passed"
    message = "Required gates have not passed on this run"


class IdempotencyConflict(Conflict):
    """The idempotency key was used with another body, or its claim is over."""

    code = "idempotency_conflict"
    message = "This Idempotency-Key was used with another body"


class RunTaskMismatch(Conflict):
    """The run is not a run of the task."""

    code = "run_task_mismatch"
    message = "The run belongs to another task"


class TaskTerminal(Conflict):
    """The task is in a terminal stage: there is nothing left to cancel."""

    code = "task_terminal"
    message = "The task is in a terminal stage"


class NotDeadLettered(Conflict):
    """Only a dead-lettered or cancelled task can be requeued."""

    code = "not_dead_lettered"
    message = "The task is neither dead-lettered nor cancelled"


class TaskLeased(Conflict):
    """An agent holds the task now."""

    code = "task_leased"
    message = "An agent holds this task; wait for its run to end or cancel the task"


class StateNotAllowed(Conflict):
    """The ledger's table has no way from the present state of the req to this one."""

    code = "invalid_transition"
    message = "This state may not follow the present one"


class AlreadyTerminal(Conflict):
    """The req has ended; nothing follows an end."""

    code = "already_terminal"
    message = "This req has ended; redoing it takes a new req"


class StateMismatch(Conflict):
    """The req is in another state than the caller expected."""

    code = "state_mismatch"
    message = "The req is in another state than expected"


class EventIdConflict(Conflict):
    """The event id is stored with other content."""

    code = "event_id_conflict"
    message = "This event_id is stored with other content"


class Gone(TicketsError):
    """It was there and is no more."""

    status = 410
    code = "gone"
    message = "Gone"


class LeaseExpired(Gone):
    """The lease ran out or was taken away; it is never revived."""

    code = "expired"
    message = "The lease is over; claim again"


class ChangesPruned(Gone):
    """The feed no longer reaches back to this cursor."""

    code = "changes_pruned"
    message = "Changes after this cursor were pruned; read the tasks again, then follow anew"


class PreconditionFailed(TicketsError):
    """``If-Match`` or ``If-None-Match`` does not fit the stored entry."""

    status = 412
    code = "precondition_failed"
    message = "The entry has another version than If-Match names"


class PayloadTooLarge(TicketsError):
    """The body is larger than the configured limit."""

    status = 413
    code = "payload_too_large"
    message = "The body is too large"


class UnsupportedEncoding(TicketsError):
    """The body is compressed, on a path that reads none that are."""

    status = 415
    code = "unsupported_encoding"
    message = "Only trace exports may be compressed; send this body without Content-Encoding"


class Busy(TicketsError):
    """The database could not be locked in time; nothing was written."""

    status = 503
    code = "busy"
    message = "The database is busy; repeat the request"


class OutcomeUnknown(Busy):
    """The connection to the database was lost while it committed."""

    code = "outcome_unknown"
    message = (
        "The connection to the database was lost at the end: nobody knows whether this was"
        " done; look before repeating it, or repeat it with an Idempotency-Key"
    )


class DatabaseReplaced(TicketsError):
    """The file that is open is no longer the one on disk; what goes into it would be lost."""

    status = 503
    code = "database_replaced"
    message = (
        "The database file was deleted or replaced; stop the service, put the file back, start"
        " it again"
    )


class StorageFull(TicketsError):
    """The disk is full; nothing was written."""

    status = 507
    code = "storage_full"
    message = "The disk is full; nothing was written"
