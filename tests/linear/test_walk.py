from __future__ import annotations

from itertools import product

import pytest

from tickets.lifecycle.linear.states import STATUSES, TERMINAL
from tickets.lifecycle.linear.walk import Walk, walk

# The edges of a ticket: what each step does to its status.
AFTER = {
    ("open", "external_start"): "in_progress",
    ("open", "dispatch"): "in_progress",
    ("open", "cancel"): "cancelled",
    ("in_progress", "block"): "blocked",
    ("in_progress", "complete"): "done",
    ("in_progress", "cancel"): "cancelled",
    ("blocked", "unblock"): "in_progress",
    ("blocked", "cancel"): "cancelled",
}
EVERY = list(product(STATUSES, STATUSES, (False, True), (False, True)))


@pytest.mark.parametrize(("local", "remote", "is_assigned", "is_blocked"), EVERY)
def test_every_walk_ends_where_the_issue_is_or_is_a_conflict(
    local: str, remote: str, is_assigned: bool, is_blocked: bool
) -> None:
    way = walk(local, remote, is_assigned=is_assigned, is_blocked=is_blocked)

    status = local
    for step in way.steps:
        status = AFTER[status, step]
    assert (status == remote) is (way.conflict is None)
    assert not (way.steps and way.conflict)


@pytest.mark.parametrize("local", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_status(local: str) -> None:
    for remote in set(STATUSES) - {local}:
        found = walk(local, remote, is_assigned=False, is_blocked=False)

        assert found == Walk(conflict="terminal_locally")


@pytest.mark.parametrize("local", ["open", "in_progress", "blocked"])
def test_a_cancel_beats_everything_that_is_not_terminal(local: str) -> None:
    for is_assigned, is_blocked in product((False, True), repeat=2):
        found = walk(local, "cancelled", is_assigned=is_assigned, is_blocked=is_blocked)

        assert found == Walk(("cancel",))


def test_an_assigned_ticket_asks_the_dispatcher_and_another_starts_outside() -> None:
    assert walk("open", "in_progress", is_assigned=True, is_blocked=False).steps == (
        "dispatch",
    )
    assert walk("open", "in_progress", is_assigned=False, is_blocked=False).steps == (
        "external_start",
    )


def test_what_others_block_starts_neither_outside_nor_again() -> None:
    for local, remote in (("open", "done"), ("blocked", "in_progress"), ("blocked", "done")):
        found = walk(local, remote, is_assigned=False, is_blocked=True)

        assert found == Walk(conflict="blocked_by_dependency")


@pytest.mark.parametrize("local", ["in_progress", "blocked"])
def test_work_that_has_begun_is_not_taken_back(local: str) -> None:
    found = walk(local, "open", is_assigned=False, is_blocked=False)

    assert found == Walk(conflict="unsupported_transition")
