"""What clients send about tickets: one type for each request document and query string.

Unknown fields are refused, unlike the tracker's: a misspelt field must not be lost in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from tickets.lifecycle.domain.events import EVENT_TYPES
from tickets.lifecycle.domain.statuses import Status
from tickets.tracker.domain.documents import RetryPolicyDocument

MAX_TITLE_CHARACTERS: Final = 500
MAX_DESCRIPTION_CHARACTERS: Final = 100_000
MAX_LABELS: Final = 50
MAX_COMMENT_CHARACTERS: Final = 65_536

# What has more than blanks in it, those of Python and of JavaScript; the size counts without
# those around it.
_TEXT: Final = r"[^\s\x1c-\x1f\x85\ufeff]"
Title = Annotated[
    str, Meta(pattern=_TEXT, extra_json_schema={"maxLength": MAX_TITLE_CHARACTERS})
]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION_CHARACTERS)]
Key = Annotated[str, Meta(min_length=1, max_length=128)]
Id = Annotated[str, Meta(min_length=1, max_length=128)]
WorkspaceId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Label = Annotated[str, Meta(pattern=_TEXT, max_length=64)]
Labels = Annotated[list[Label], Meta(max_length=MAX_LABELS)]
Reason = Annotated[str, Meta(pattern=_TEXT, max_length=4_000)]
Version = Annotated[int, Meta(ge=1, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
CommentKind = Literal[
    "text", "system", "plan", "thinking", "review_node", "user_question", "ticket_card"
]
LINK_TYPES: Final = {
    "blocks": "blocks",
    "relatesTo": "relatesTo",
    "relates_to": "relatesTo",
    "duplicateOf": "duplicateOf",
    "duplicate_of": "duplicateOf",
}
Priority = Literal["low", "medium", "high", "critical"]
Provider = Literal["local", "linear"]
Mode = Literal["chat", "plan", "review"]
ValueCursor = Annotated[str, Meta(extra_json_schema={"pattern": "^[+-]?[0-9]{1,18}:.+$"})]
IdCursor = Annotated[str, Meta(extra_json_schema={"pattern": "^[+-]?[0-9]{1,18}$"})]


def _words(known: tuple[str, ...]) -> Meta:
    """Return what holds of some known words with commas between; refusals name the words."""
    one = f"({'|'.join(known)})"
    return Meta(pattern=f"^{one}(,{one})*$", extra={"words": known})


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request document."""


class Scoped(Strict, frozen=True, kw_only=True):
    """A request document that may name its workspace."""

    workspace_id: str | None = None


class Expecting(Scoped, frozen=True, kw_only=True):
    """A request document that may say what it was decided on."""

    expected_version: Version | None = None
    expected_status: Status | None = None


class WorkspaceQuery(Struct, frozen=True, kw_only=True):
    """The query of a request about tickets, which may name the workspace."""

    workspace_id: str | None = None


class TicketPageQuery(WorkspaceQuery, frozen=True, kw_only=True):
    """A list of what has ids that ascend."""

    limit: Limit = 50
    cursor: IdCursor | None = None


class EventQuery(TicketPageQuery, frozen=True, kw_only=True):
    """``GET /tickets/{id}/events``; ``type`` is one, or several with commas between."""

    type: Annotated[str, _words(EVENT_TYPES)] | None = None


class StrictRetryPolicy(RetryPolicyDocument, frozen=True, forbid_unknown_fields=True):
    """When a failed task is tried again."""


class DispatchSettings(Strict, frozen=True, kw_only=True):
    """How a ticket is worked on; what is absent stays, null is the workspace's."""

    pipeline_id: Id | UnsetType | None = UNSET
    retry_policy: StrictRetryPolicy | UnsetType | None = UNSET
    on_invalid_output: Literal["fail", "reject"] | UnsetType | None = UNSET
    on_dead_letter: Literal["fail", "block"] | UnsetType | None = UNSET


class WorkspaceDispatch(DispatchSettings, frozen=True, kw_only=True):
    """How tickets of a workspace are worked on where they do not say themselves."""

    stage_outcomes: dict[str, Literal["done", "failed", "cancelled"]] | UnsetType | None = UNSET


class NewWorkspace(Strict, frozen=True, kw_only=True):
    """``POST /workspaces``."""

    id: WorkspaceId | None = None
    name: Title
    dispatch: WorkspaceDispatch | None = None

    def __post_init__(self) -> None:
        check_size("name", self.name, MAX_TITLE_CHARACTERS)
        # A pattern's $ lets one line break pass.
        if self.id is not None and self.id.endswith("\n"):
            raise ValueError("`id` must not end in a line break")


class WorkspaceChanges(Strict, frozen=True, kw_only=True):
    """``PATCH /workspaces/{id}``."""

    name: Title | UnsetType = UNSET
    status: Literal["active", "paused", "archived"] | UnsetType = UNSET
    dispatch: WorkspaceDispatch | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_size("name", self.name, MAX_TITLE_CHARACTERS)


class ListQuery(Struct, frozen=True, kw_only=True):
    """A list by creation."""

    limit: Limit = 50
    cursor: ValueCursor | None = None


class NameQuery(Struct, frozen=True, kw_only=True):
    """A list by name."""

    limit: Limit = 50
    cursor: str | None = None


class AgentDocument(Strict, frozen=True, kw_only=True):
    """``PUT /workspaces/{id}/agents/{agent_id}``: the whole of what is known of an agent."""

    role: Key
    enabled: bool = True
    max_active_tickets: Count | None = None
    display_name: Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)] | None = None
    linear_user_id: Id | None = None


class TeamDocument(Strict, frozen=True, kw_only=True):
    """``PUT /workspaces/{id}/teams/{team_id}``: the whole team."""

    name: Title
    agent_ids: Annotated[list[Id], Meta(max_length=1000)]

    def __post_init__(self) -> None:
        check_size("name", self.name, MAX_TITLE_CHARACTERS)


class NewTicket(Scoped, frozen=True, kw_only=True):
    """``POST /tickets``."""

    title: Title
    description: Description | None = None
    priority: Priority = "medium"
    labels: Labels = []
    provider: Provider = "local"
    mode: Mode = "chat"
    project_id: Key | None = None
    parent_ticket_id: Id | None = None
    pipeline_run_id: Key | None = None
    expected_output_schema: Any = None
    assigned_agent_id: Id | None = None
    assigned_team_id: Id | None = None
    delegated_by_agent_id: Id | None = None
    dispatch: DispatchSettings | None = None

    def __post_init__(self) -> None:
        check_size("title", self.title, MAX_TITLE_CHARACTERS)
        if self.assigned_agent_id is not None and self.assigned_team_id is not None:
            raise ValueError("`assigned_team_id` excludes assigned_agent_id")
        if self.delegated_by_agent_id is not None and self.assigned_agent_id is None:
            raise ValueError("`delegated_by_agent_id` wants an assigned_agent_id")


class TicketChanges(Expecting, frozen=True, kw_only=True):
    """``PATCH /tickets/{id}``: what is absent stays, null clears."""

    elsewhere: ClassVar = {
        "status": "POST /tickets/{ticket_id}/transition",
        "assigned_agent_id": "POST /tickets/{ticket_id}/assign",
        "assigned_team_id": "POST /tickets/{ticket_id}/assign",
        "delegated_by_agent_id": "POST /tickets/{ticket_id}/delegate",
    }

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    provider: Provider | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    project_id: Key | UnsetType | None = UNSET
    parent_ticket_id: Id | UnsetType | None = UNSET
    expected_output_schema: Any = UNSET
    dispatch: DispatchSettings | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_size("title", self.title, MAX_TITLE_CHARACTERS)


class AssignRequest(Expecting, frozen=True, kw_only=True):
    """``POST /tickets/{id}/assign``: to an agent or to a team."""

    agent_id: Id | None = None
    team_id: Id | None = None

    def __post_init__(self) -> None:
        if (self.agent_id is None) == (self.team_id is None):
            raise ValueError("`agent_id` or else team_id is wanted, and not both")


class NewChild(Strict, frozen=True, kw_only=True):
    """A ticket that is made to be delegated."""

    title: Title
    description: Description | None = None
    priority: Priority = "medium"
    labels: Labels = []
    mode: Mode = "chat"
    expected_output_schema: Any = None

    def __post_init__(self) -> None:
        check_size("title", self.title, MAX_TITLE_CHARACTERS)


class DelegateRequest(Expecting, frozen=True, kw_only=True):
    """``POST /tickets/{id}/delegate``: this ticket, or a new child of it."""

    delegated_by_agent_id: Id
    agent_id: Id
    child: NewChild | None = None


class LabelsDocument(Scoped, frozen=True, kw_only=True):
    """``POST /tickets/{id}/labels``."""

    labels: Annotated[Labels, Meta(min_length=1)]


class NewLink(Scoped, frozen=True, kw_only=True):
    """``POST /tickets/{id}/links``."""

    type: Literal["blocks", "relatesTo", "relates_to", "duplicateOf", "duplicate_of"]
    target_ticket_id: Id
    direction: Literal["outgoing", "incoming"] = "outgoing"
    close_duplicate: bool | UnsetType = UNSET


class NewCollaborator(Scoped, frozen=True, kw_only=True):
    """``POST /tickets/{id}/collaborators``: an agent, ``user`` or ``user:<name>``."""

    collaborator_id: Id
    role: Literal["owner", "member"] = "member"


class NewComment(Scoped, frozen=True, kw_only=True):
    """``POST /tickets/{id}/comments``."""

    body: Annotated[str, Meta(min_length=1, max_length=MAX_COMMENT_CHARACTERS)]
    kind: CommentKind = "text"
    parent_comment_id: Id | None = None


class TicketQuery(WorkspaceQuery, frozen=True, kw_only=True):
    """``GET /tickets``; ``status`` is one or several, ``label`` may be there several times."""

    status: Annotated[str, _words(get_args(Status))] | None = None
    priority: Priority | None = None
    assigned_agent_id: str | None = None
    assigned_team_id: str | None = None
    delegated_by_agent_id: str | None = None
    parent_ticket_id: str | None = None
    project_id: str | None = None
    label: Annotated[str, Meta(max_length=64)] | None = None
    provider: Provider | None = None
    external_key: str | None = None
    q: Annotated[str, Meta(max_length=500)] | None = None
    is_blocked: Literal["true", "false"] | None = None
    dispatch_state: (
        Literal["none", "waiting", "queued", "claimed", "held", "external", "ended"] | None
    ) = None
    updated_since_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    sort: Literal["created", "updated", "priority"] = "created"
    order: Literal["asc", "desc"] = "asc"
    limit: Limit = 50
    cursor: ValueCursor | None = None


class FeedQuery(WorkspaceQuery, frozen=True, kw_only=True):
    """``GET /ticket-events``; ``cursor`` is the same as ``after_id``."""

    after_id: IdCursor | None = None
    cursor: IdCursor | None = None
    type: Annotated[str, _words(EVENT_TYPES)] | None = None
    ticket_id: str | None = None
    limit: Limit = 50


class TicketTransitionRequest(Expecting, frozen=True, kw_only=True):
    """``POST /tickets/{id}/transition``; each target has fields of its own."""

    to: Status
    reason: Reason | UnsetType = UNSET
    output_json: Any = UNSET
    error_message: Annotated[str, Meta(pattern=_TEXT)] | UnsetType = UNSET
    external: bool | UnsetType = UNSET
    blocked_kind: Literal["input", "dependency"] | UnsetType = UNSET
    blocked_by_ticket_id: Id | UnsetType = UNSET
    cascade: bool | UnsetType = UNSET


def given_settings(document: DispatchSettings) -> dict[str, Any]:
    """Return the settings that a document holds as JSON, None for those to be taken out."""
    found = {name: getattr(document, name) for name in document.__struct_fields__}
    return {name: _plain(value) for name, value in found.items() if value is not UNSET}


def _plain(value: Any) -> Any:
    """Return a document as JSON, without what was left out of it."""
    plain = to_builtins(value)
    if isinstance(plain, dict):
        return {name: _plain(each) for name, each in plain.items() if each is not None}
    return plain


def check_size(field: str, text: object, most: int) -> None:
    """Return where a text is short enough without the blanks around it.

    Raises ValueError, which the reader of documents turns into a refusal.
    """
    if isinstance(text, str) and len(text.strip()) > most:
        raise ValueError(f"`{field}` is longer than {most} characters")
