from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.lifecycle.linear.states import STATUSES, State, Workflow

TYPES = ("triage", "backlog", "unstarted", "started", "completed", "canceled", "duplicate")


def state(name: str, type_: str, position: float = 0) -> State:
    return State(id=f"s-{name}", name=name, type=type_, position=position)


TEAM = Workflow(
    (
        state("Backlog", "backlog", 0),
        state("Todo", "unstarted", 2),
        state("Next", "unstarted", 1),
        state("Blocked by others", "started", 1),
        state("In Review", "started", 5),
        state("In Progress", "started", 3),
        state("Done", "completed", 1),
        state("Canceled", "canceled", 2),
        state("Failed", "canceled", 1),
        state("Duplicate", "duplicate", 3),
    )
)
SMALL = Workflow((state("B", "backlog"), state("S", "started"), state("C", "canceled")))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("open", "Next"),
        ("in_progress", "In Progress"),
        ("blocked", "Blocked by others"),
        ("done", "Done"),
        ("failed", "Failed"),
        ("cancelled", "Canceled"),
    ],
)
def test_a_status_goes_to_the_first_state_that_means_it(status: str, name: str) -> None:
    found = TEAM.state_for(status)

    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("open", "B"),
        ("in_progress", "S"),
        ("blocked", "S"),
        ("done", None),
        ("failed", "C"),
        ("cancelled", "C"),
    ],
)
def test_a_team_without_such_a_state_gets_the_nearest(status: str, name: str | None) -> None:
    found = SMALL.state_for(status)

    assert (found.name if found else None) == name


def test_a_duplicate_goes_to_a_duplicate_state_where_there_is_one() -> None:
    found = TEAM.state_for("cancelled", is_duplicate=True)
    nearest = SMALL.state_for("cancelled", is_duplicate=True)

    assert found is not None
    assert found.type == "duplicate"
    assert nearest is not None
    assert nearest.name == "C"


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        ("triage", "open"),
        ("backlog", "open"),
        ("unstarted", "open"),
        ("started", "in_progress"),
        ("completed", "done"),
        ("canceled", "cancelled"),
        ("duplicate", "cancelled"),
        ("new type of theirs", None),
    ],
)
def test_what_a_type_is_to_us(type_: str, status: str | None) -> None:
    assert TEAM.status_of(state("x", type_)) == status


def test_a_started_state_that_is_named_so_is_blocked() -> None:
    assert TEAM.status_of(state("Is BLOCKED", "started")) == "blocked"
    assert TEAM.status_of(state("Blocked", "unstarted")) == "open"


def test_the_map_of_an_integration_overrides_both_ways() -> None:
    workflow = Workflow(TEAM.states, {"done": "s-In Review", "failed": "s-Failed"})
    review = workflow.state_for("done")

    assert review is not None
    assert review.name == "In Review"
    assert workflow.status_of(review) == "done"
    assert workflow.status_of(state("Failed", "canceled")) == "failed"


def test_no_state_is_pushed_to_an_issue_that_is_in_one_that_says_as_much() -> None:
    assert TEAM.push_for("in_progress", state("In Review", "started")) is None
    assert TEAM.push_for("open", state("Backlog", "backlog")) is None
    assert SMALL.push_for("blocked", state("S", "started")) is None
    moved = TEAM.push_for("in_progress", state("Blocked by others", "started"))
    assert moved is not None
    assert moved.name == "In Progress"
    assert SMALL.push_for("done", state("S", "started")) is None


STATES = st.builds(
    State,
    id=st.uuids().map(str),
    name=st.sampled_from(("Blocked", "Failed", "A", "B")),
    type=st.sampled_from(TYPES),
    position=st.floats(-10, 10),
)


@given(states=st.lists(STATES, max_size=8), status=st.sampled_from(STATUSES))
def test_what_is_pushed_settles(states: list[State], status: str) -> None:
    workflow = Workflow(tuple(states))
    for present in states:
        wanted = workflow.push_for(status, present)

        if wanted is not None:
            assert workflow.push_for(status, wanted) is None


@given(states=st.lists(STATES, max_size=8), status=st.sampled_from(STATUSES))
def test_a_status_that_went_to_linear_comes_back_as_itself_or_the_nearest(
    states: list[State], status: str
) -> None:
    workflow = Workflow(tuple(states))
    seen = workflow.as_seen(status)
    nearest = {"blocked": {"in_progress"}, "failed": {"cancelled"}, "in_progress": {"blocked"}}

    assert seen in {status, *nearest.get(status, set())}
    assert workflow.as_seen(seen) == seen or status == "blocked"
