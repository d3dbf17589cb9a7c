"""Three-way: what of an issue goes into the ticket, and what of the ticket into the issue.

The shadow is what both sides last agreed on, ``local`` is the ticket, ``remote`` the issue. A
side has changed a field where it differs from the shadow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tickets.lifecycle.linear.issues import FIELDS, is_same
from tickets.lifecycle.linear.states import State, Workflow


@dataclass(frozen=True, slots=True)
class Merge:
    """``accept`` goes into the ticket and ``push`` into the issue; no field is in both."""

    changed: frozenset[str]
    accept: frozenset[str]
    push: frozenset[str]


def merge(
    *,
    shadow: Mapping[str, Any],
    local: Mapping[str, Any],
    remote: Mapping[str, Any],
    workflow: Workflow,
    local_changed_at_ms: Mapping[str, int],
    remote_at_ms: int,
    sent: Mapping[str, Any],
    agreed: frozenset[str] = frozenset(),
) -> Merge:
    """Decide for each synced field.

    All three have every field; an assignee or parent that Linear does not know is None.
    ``local`` has our status under ``status``; ``shadow`` and ``remote`` have a state of
    Linear's there. ``sent`` are values that are on their way to Linear or were lost on the way
    back: a remote value equal to one of them is our own, whoever is said to have set it.
    Fields in ``agreed`` are what Linear made of what it was just sent: nobody's change.
    """
    changed = frozenset(
        field
        for field in FIELDS
        if not _agree(field, shadow.get(field), remote[field], workflow)
    )
    accept: set[str] = set()
    push: set[str] = set()
    for field in changed:
        if field in agreed or _is_sent(field, sent, remote[field], workflow):
            continue
        if _is_local(field, local, remote[field], workflow):
            continue
        if _is_local(field, local, shadow.get(field), workflow):
            accept.add(field)
        elif local_changed_at_ms.get(field, 0) > remote_at_ms:
            push.add(field)
        else:
            accept.add(field)
    return Merge(changed, frozenset(accept), frozenset(push))


def differing(
    *, local: Mapping[str, Any], remote: Mapping[str, Any], workflow: Workflow
) -> frozenset[str]:
    """Return the fields in which ticket and issue are not the same."""
    return frozenset(
        field for field in FIELDS if not _is_local(field, local, remote.get(field), workflow)
    )


def _agree(field: str, one: Any, other: Any, workflow: Workflow) -> bool:
    if field != "status":
        return is_same(field, one, other)
    if one is None or other is None:
        return one is other
    return workflow.status_of(State.read(one)) == workflow.status_of(State.read(other))


def _is_local(field: str, local: Mapping[str, Any], value: Any, workflow: Workflow) -> bool:
    """Tell whether a value of Linear's says what the ticket says."""
    if field != "status":
        return is_same(field, local[field], value)
    if value is None:
        return False
    status = local[field]
    return workflow.status_of(State.read(value)) in (status, workflow.as_seen(status))


def _is_sent(field: str, sent: Mapping[str, Any], value: Any, workflow: Workflow) -> bool:
    if field not in sent:
        return False
    if field == "status":
        return _is_local(field, {"status": sent[field]}, value, workflow)
    return is_same(field, sent[field], value)
