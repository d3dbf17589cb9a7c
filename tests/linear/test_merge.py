from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.lifecycle.linear.issues import FIELDS
from tickets.lifecycle.linear.merge import Merge, differing, merge
from tickets.lifecycle.linear.states import State, Workflow

STATES = {
    "open": State(id="1", name="Todo", type="unstarted"),
    "in_progress": State(id="2", name="Doing", type="started"),
    "done": State(id="3", name="Done", type="completed"),
    "cancelled": State(id="4", name="Canceled", type="canceled"),
}
WORKFLOW = Workflow(tuple(STATES.values()))
NOW_MS = 1_000_000


def as_state(status: str) -> dict[str, str]:
    state = STATES[status]
    return {"id": state.id, "name": state.name, "type": state.type}


def values(**changed: Any) -> dict[str, Any]:
    """Return what an issue has, with the status as its state."""
    plain: dict[str, Any] = {
        "title": "T",
        "description": None,
        "priority": "medium",
        "status": "open",
        "labels": [],
        "assignee": None,
        "parent": None,
        **changed,
    }
    return {**plain, "status": as_state(plain["status"])}


def ticket(**changed: Any) -> dict[str, Any]:
    """Return what a ticket has."""
    return {**values(), "status": "open", **changed}


def merged(
    shadow: dict[str, Any],
    local: dict[str, Any],
    remote: dict[str, Any],
    *,
    local_at_ms: int = 0,
    sent: dict[str, Any] | None = None,
) -> Merge:
    return merge(
        shadow=shadow,
        local=local,
        remote=remote,
        workflow=WORKFLOW,
        local_changed_at_ms=dict.fromkeys(FIELDS, local_at_ms),
        remote_at_ms=NOW_MS,
        sent=sent or {},
    )


def test_what_is_as_it_was_is_nobodys_change() -> None:
    assert merged(values(), ticket(), values()) == Merge(frozenset(), frozenset(), frozenset())


def test_fields_that_only_one_side_changed_survive_both() -> None:
    found = merged(values(), ticket(title="ours"), values(description="theirs"))

    assert found.accept == {"description"}
    assert found.push == set()


@pytest.mark.parametrize(
    ("local_at_ms", "wins"), [(NOW_MS - 1, "remote"), (NOW_MS, "remote"), (NOW_MS + 1, "local")]
)
def test_of_two_changes_the_later_wins_and_linear_where_they_are_equal(
    local_at_ms: int, wins: str
) -> None:
    found = merged(
        values(), ticket(title="ours"), values(title="theirs"), local_at_ms=local_at_ms
    )

    assert found.accept == ({"title"} if wins == "remote" else set())
    assert found.push == ({"title"} if wins == "local" else set())


def test_the_same_change_on_both_sides_is_agreement() -> None:
    found = merged(values(), ticket(title="both"), values(title="both"), local_at_ms=2 * NOW_MS)

    assert found == Merge(frozenset({"title"}), frozenset(), frozenset())


def test_what_we_sent_ourselves_is_recognised_by_its_value() -> None:
    found = merged(
        values(),
        ticket(title="newest", status="done"),
        values(title="sent", status="in_progress"),
        sent={"title": "sent", "status": "in_progress"},
    )

    assert found.accept == set()
    assert found.push == set()


def test_labels_are_a_set_whatever_their_case_and_order() -> None:
    found = merged(
        values(labels=["Bug", "ui"]), ticket(labels=["ui"]), values(labels=["UI", "bug"])
    )

    assert found.changed == set()


def test_line_ends_and_blanks_at_the_end_are_no_change_of_a_description() -> None:
    found = merged(values(description="a\nb"), ticket(), values(description="a  \r\nb\r\n\r\n"))

    assert found.changed == set()


def test_another_state_of_the_same_meaning_is_no_change() -> None:
    shadow, remote = values(), values()
    remote["status"] = {"id": "9", "name": "Icebox", "type": "backlog"}

    assert merged(shadow, ticket(status="in_progress"), remote).changed == set()


def test_a_new_issue_has_everything_changed() -> None:
    found = merged({}, ticket(), values(title="theirs"))

    assert found.accept == {"title"}


SIMPLE = {
    "title": st.sampled_from("abc"),
    "description": st.sampled_from((None, "a", "b")),
    "priority": st.sampled_from(("low", "medium", "high")),
    "labels": st.lists(st.sampled_from(("a", "A", "b")), max_size=2),
    "assignee": st.sampled_from((None, "u1", "u2")),
    "parent": st.sampled_from((None, "i1", "i2")),
}
ISSUES = st.fixed_dictionaries(
    {**SIMPLE, "status": st.sampled_from(sorted(STATES)).map(as_state)}
)
TICKETS = st.fixed_dictionaries({**SIMPLE, "status": st.sampled_from(sorted(STATES))})


@given(shadow=ISSUES, local=TICKETS, remote=ISSUES, local_at_ms=st.integers(0, 2 * NOW_MS))
def test_both_sides_are_the_same_where_only_one_or_both_of_them_changed(
    shadow: dict[str, Any], local: dict[str, Any], remote: dict[str, Any], local_at_ms: int
) -> None:
    found = merged(shadow, local, remote, local_at_ms=local_at_ms)

    assert not found.accept & found.push
    assert found.accept | found.push <= found.changed
    after_local, after_remote = dict(local), dict(remote)
    for field in found.accept:
        value = remote[field]
        after_local[field] = (
            WORKFLOW.status_of(State.read(value)) if field == "status" else value
        )
    for field in found.push:
        value = local[field]
        after_remote[field] = as_state(value) if field == "status" else value
    left = differing(local=after_local, remote=after_remote, workflow=WORKFLOW)
    # What differs still is what only the ticket changed: a push of it is on its way.
    assert not left & found.changed
    assert left == differing(local=local, remote=remote, workflow=WORKFLOW) - found.changed


@given(shadow=ISSUES, local=TICKETS, remote=ISSUES)
def test_a_second_look_at_the_same_issue_does_nothing(
    shadow: dict[str, Any], local: dict[str, Any], remote: dict[str, Any]
) -> None:
    assert merged(remote, local, remote) == Merge(frozenset(), frozenset(), frozenset())
