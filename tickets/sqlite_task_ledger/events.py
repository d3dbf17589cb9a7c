"""Events: what a caller reports, what is stored of it, and what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from .errors import InvalidEventError
from .snapshots import Snapshot

MAX_REQ: Final = 200
MAX_NAME: Final = 200
MAX_STAGE: Final = 200
MAX_MESSAGE: Final = 4_000
MAX_DATA_BYTES: Final = 64 << 10
MAX_EVENT_ID: Final = 300
MAX_INT: Final = 2**63 - 1
_encode: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
# What expected_state says where the req must not exist yet.
NO_STATE: Final = "NONE"


class Event(NamedTuple):
    """A stored event; its fields are the columns of task_events."""

    seq: int
    req: str
    n: int
    state: str
    previous_state: str | None
    is_terminal: bool
    actor: str
    source: str
    stage: str | None
    message: str | None
    data_json: str | None
    event_id: str | None
    scope: str | None
    ts_ms: int | None
    recorded_at_ms: int

    @property
    def data(self) -> Any:
        """The data as it was given, None where there was none."""
        return None if self.data_json is None else json.loads(self.data_json)


class Report(Protocol):
    """What is stored of a report besides its state, each part within its bounds."""

    @property
    def req(self) -> str:
        """Which piece of work."""

    @property
    def actor(self) -> str:
        """Who reports."""

    @property
    def source(self) -> str:
        """Through which program."""

    @property
    def stage(self) -> str | None:
        """Where in the work."""

    @property
    def message(self) -> str | None:
        """In words."""

    @property
    def data_json(self) -> str | None:
        """Canonical JSON."""

    @property
    def event_id(self) -> str | None:
        """What makes a repetition harmless."""

    @property
    def scope(self) -> str | None:
        """Who may see it."""

    @property
    def ts_ms(self) -> int | None:
        """The caller's time."""


class WriteResult(NamedTuple):
    """What became of a reported event; ``duplicate`` where it was stored before."""

    seq: int
    n: int
    req: str
    state: str
    previous_state: str | None
    duplicate: bool
    snapshot: Snapshot


@dataclass(frozen=True)
class StatusEvent:
    """A report: ``actor``, through ``source``, says that ``req`` is in ``state``.

    ``ts_ms`` is the caller's own time, kept and never used. ``expected_state`` refuses the
    event unless the req is in that state (``"NONE"``: does not exist). ``event_id`` makes
    repeating it harmless. ``scope`` is that of the first event where it is left out. Raises
    InvalidEventError.
    """

    state: str
    actor: str
    source: str
    req: str
    stage: str | None = None
    message: str | None = None
    data: Any = None
    event_id: str | None = None
    ts_ms: int | None = None
    expected_state: str | None = None
    scope: str | None = None
    # The data as it is stored, so that two with the same content are the same text.
    data_json: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_req(self.req)
        check_text("state", self.state, MAX_NAME)
        check_text("actor", self.actor, MAX_NAME)
        check_text("source", self.source, MAX_NAME)
        check_optional("stage", self.stage, MAX_STAGE)
        check_optional("message", self.message, MAX_MESSAGE, least=0)
        check_optional("event_id", self.event_id, MAX_EVENT_ID)
        check_optional("expected_state", self.expected_state, MAX_NAME)
        check_optional("scope", self.scope, MAX_NAME)
        if self.ts_ms is not None:
            check_int("ts_ms", self.ts_ms, least=-MAX_INT - 1)
        object.__setattr__(self, "data_json", canonical_json(self.data))


def canonical_json(data: Any) -> str | None:
    """Return data as JSON with sorted keys and no blanks; None for None.

    Raises InvalidEventError for what is no JSON or larger than 64 KiB.
    """
    if data is None:
        return None
    try:
        text = _encode(data)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEventError("data", f"is not JSON: {error}") from error
    if size > MAX_DATA_BYTES:
        raise InvalidEventError("data", f"is larger than {MAX_DATA_BYTES} bytes")
    return text


def check_req(req: object) -> None:
    """Return where this can name a piece of work. Raises InvalidEventError."""
    if not is_req(req):
        raise InvalidEventError(
            "req", f"must be 1 to {MAX_REQ} printable characters without blanks at its ends"
        )


def is_req(req: object) -> bool:
    """Tell whether this can name a piece of work."""
    return (
        isinstance(req, str)
        and 1 <= len(req) <= MAX_REQ
        and req.isprintable()
        and req == req.strip()
    )


def check_text(name: str, value: object, most: int, *, least: int = 1) -> None:
    """Return where this is a text of such a length. Raises InvalidEventError."""
    if not isinstance(value, str):
        raise InvalidEventError(name, "must be a string")
    if not least <= len(value) <= most:
        raise InvalidEventError(name, f"must have {least} to {most} characters")
    if not value.isprintable() and not _can_be_stored(value):
        raise InvalidEventError(name, "holds a character that cannot be stored")


def check_optional(name: str, value: object, most: int, *, least: int = 1) -> None:
    """Do the same for what may be None."""
    if value is not None:
        check_text(name, value, most, least=least)


def check_int(name: str, value: object, *, least: int = 0) -> int:
    """Return an integer that is not below ``least``. Raises InvalidEventError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidEventError(name, "must be an integer")
    if not least <= value <= MAX_INT:
        raise InvalidEventError(name, f"must be an integer from {least} to {MAX_INT}")
    return value


def _can_be_stored(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
