"""An issue as Linear tells of it, and its values in our words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tickets.lifecycle.linear.states import State

FIELDS: Final = (
    "title",
    "description",
    "priority",
    "status",
    "labels",
    "assignee",
    "parent",
)

PRIORITIES: Final = {"critical": 1, "high": 2, "medium": 3, "low": 4}
# 0 is Linear's "No priority".
_PRIORITY_OF: Final[dict[float, str]] = {
    0: "medium",
    1: "critical",
    2: "high",
    3: "medium",
    4: "low",
}

MAX_TITLE: Final = 500
MAX_DESCRIPTION: Final = 100_000
MAX_LABEL: Final = 64
MAX_LABELS: Final = 50
# Linear's ids are UUIDs; no database indexes texts of any length.
MAX_ID: Final = 128
MAX_URL: Final = 2_000
# Some hours less than all that a datetime holds, so that every zone can write it.
_TIMES_MS: Final = range(253_402_128_000_000)

_TRAILING: Final = re.compile(r"[ \t]+$", re.MULTILINE)


class Unreadable(Exception):
    """A document that cannot be an issue of Linear's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What we look at of an issue. ``assignee`` and ``parent`` are ids of Linear's."""

    id: str
    identifier: str | None
    url: str | None
    updated_at_ms: int
    team_id: str | None
    trashed: bool
    title: str
    description: str | None
    priority: str
    state: State
    labels: tuple[str, ...]
    assignee: str | None
    parent: str | None

    def values(self) -> dict[str, Any]:
        """Return the synced fields as JSON, as a shadow keeps them."""
        return {
            "title": self.title,
            "description": self.description,
            "priority": self.priority,
            "status": {"id": self.state.id, "name": self.state.name, "type": self.state.type},
            "labels": list(self.labels),
            "assignee": self.assignee,
            "parent": self.parent,
        }

    def document(self) -> dict[str, Any]:
        """Return it in a form that ``read_issue`` reads."""
        return {
            **self.values(),
            "id": self.id,
            "identifier": self.identifier,
            "url": self.url,
            "updatedAt": write_time(self.updated_at_ms),
            "teamId": self.team_id,
            "trashed": self.trashed,
            "priority": PRIORITIES[self.priority],
            "state": {"id": self.state.id, "name": self.state.name, "type": self.state.type},
            "labels": [{"name": name} for name in self.labels],
            "assigneeId": self.assignee,
            "parentId": self.parent,
        }


def read_issue(document: Mapping[str, Any], *, url: object = None) -> Issue:
    """Return the issue of a webhook's ``data`` or of an answer of the API.

    The two differ: a webhook names assignee and parent by id as well, and has its labels in a
    list where the API has a connection. Raises Unreadable.
    """
    id_, title = as_id(document.get("id")), document.get("title")
    state = document.get("state")
    if id_ is None:
        raise Unreadable("an issue has an id")
    if not isinstance(title, str):
        raise Unreadable("an issue has a title")
    if not isinstance(state, Mapping) or not state.get("type"):
        raise Unreadable("an issue is in a state")
    return Issue(
        id=id_,
        identifier=as_id(document.get("identifier")),
        url=_text(document.get("url"), MAX_URL) or _text(url, MAX_URL),
        updated_at_ms=read_time_ms(document.get("updatedAt")),
        team_id=as_id(document.get("teamId")) or _id_of(document.get("team")),
        trashed=document.get("trashed") is True,
        title=_shown(title)[:MAX_TITLE].strip() or "(untitled)",
        description=as_description(document.get("description")),
        priority=_priority(document.get("priority")),
        state=State.read(state),
        labels=as_labels(_label_names(document.get("labels"))),
        assignee=as_id(document.get("assigneeId")) or _id_of(document.get("assignee")),
        parent=as_id(document.get("parentId")) or _id_of(document.get("parent")),
    )


def read_time_ms(value: object) -> int:
    """Return an ISO 8601 time in milliseconds. Raises Unreadable."""
    if not isinstance(value, str):
        raise Unreadable("an issue has updatedAt")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Unreadable("updatedAt is no time") from error
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    # Not timestamp(): a float cannot hold every millisecond exactly.
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    at_ms = (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    if at_ms not in _TIMES_MS:
        raise Unreadable("updatedAt is no time of ours")
    return at_ms


def write_time(at_ms: int) -> str:
    """Return a time in milliseconds as Linear writes it."""
    moment = datetime.fromtimestamp(at_ms // 1_000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03}Z"


def as_description(value: object) -> str | None:
    """Return a description as both sides can agree on it, None where it says nothing.

    Linear keeps Markdown in a form of its own and gives back other line ends and blanks than
    it was given.
    """
    if not isinstance(value, str):
        return None
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return _TRAILING.sub("", text).rstrip()[:MAX_DESCRIPTION].rstrip() or None


def as_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return label names as a ticket may have them: trimmed, once each whatever the case."""
    found: dict[str, str] = {}
    for name in names:
        label = _shown(name)
        if 0 < len(label) <= MAX_LABEL:
            found.setdefault(label.casefold(), label)
    return tuple(list(found.values())[:MAX_LABELS])


def is_same(field: str, one: Any, other: Any) -> bool:
    """Tell whether two values of a field, but for the status, mean the same."""
    if field == "labels":
        return _label_set(one) == _label_set(other)
    if field == "description":
        return as_description(one) == as_description(other)
    return bool(one == other)


def _label_set(names: Sequence[str] | None) -> frozenset[str]:
    return frozenset(name.casefold() for name in as_labels(names or ()))


def _label_names(value: object) -> list[str]:
    nodes = value.get("nodes") if isinstance(value, Mapping) else value
    if not isinstance(nodes, list):
        return []
    names = [node.get("name") for node in nodes if isinstance(node, Mapping)]
    return [name for name in names if isinstance(name, str)]


def _priority(value: object) -> str:
    # The schema has it as a float, webhooks as an integer.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "medium"
    return _PRIORITY_OF.get(value, "medium")


def _id_of(value: object) -> str | None:
    return as_id(value.get("id")) if isinstance(value, Mapping) else None


def as_id(value: object) -> str | None:
    """Return an id of Linear's, None for what can be none."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value if value == _text(value, MAX_ID) else None


def _text(value: object, most: int) -> str | None:
    """Return a text that says something and is not too long, else None."""
    shown = _shown(value) if isinstance(value, str) else ""
    return shown if 0 < len(shown) <= most else None


def _shown(text: str) -> str:
    """Return a text without what no database keeps, and without blanks around it."""
    return text.replace("\0", "").encode(errors="ignore").decode().strip()
