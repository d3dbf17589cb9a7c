"""Claimability and its order, as pure rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tickets.tracker.domain.eligibility import (
    Candidate,
    claim_order,
    is_eligible,
    reasons_against,
)

NOW_MS = 1_000
FREE: dict[str, Any] = {
    "agent_role": "coder",
    "is_terminal": False,
    "is_dead": False,
    "dead_letter_reason": None,
    "next_eligible_at_ms": 0,
    "open_dependency_ids": [],
    "is_held": False,
    "assignee": None,
    "lease_expires_at_ms": None,
}


def candidate(**changed: Any) -> Candidate:
    return Candidate(**{**FREE, **changed})


def codes(task: Candidate, agent_id: str | None = "a1") -> list[str]:
    return [each.code for each in reasons_against(task, agent_id=agent_id, now_ms=NOW_MS)]


def may_claim(task: Candidate, *, agent_id: str = "a1", role: str = "coder") -> bool:
    return is_eligible(task, agent_id=agent_id, agent_role=role, now_ms=NOW_MS)


def test_nothing_stands_against_a_free_task() -> None:
    assert codes(candidate()) == []
    assert may_claim(candidate())


@pytest.mark.parametrize("role", ["", "Coder", "reviewer", " coder"])
def test_the_role_must_be_the_same_to_the_letter(role: str) -> None:
    assert not may_claim(candidate(), role=role)


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({"agent_role": None}, ["no_role"]),
        ({"agent_role": None, "is_terminal": True}, ["terminal_stage"]),
        ({"is_terminal": True}, []),
        ({"is_dead": True, "dead_letter_reason": "cancelled"}, ["dead_lettered"]),
        ({"dead_letter_reason": "max_attempts_exceeded"}, []),
        ({"lease_expires_at_ms": NOW_MS + 1}, ["leased"]),
        ({"lease_expires_at_ms": NOW_MS}, []),
        ({"next_eligible_at_ms": NOW_MS + 1}, ["delayed"]),
        ({"next_eligible_at_ms": NOW_MS}, []),
        ({"is_dead": True, "next_eligible_at_ms": NOW_MS + 1}, ["dead_lettered"]),
        ({"open_dependency_ids": ["t"]}, ["blocked_by"]),
        ({"is_held": True}, ["held"]),
        ({"assignee": "a2"}, ["assigned"]),
        ({"assignee": "a1"}, []),
        ({"assignee": ""}, ["assigned"]),
    ],
)
def test_each_reason_stands_alone(changed: dict[str, Any], reasons: list[str]) -> None:
    assert codes(candidate(**changed)) == reasons


def test_an_assignment_stands_against_everybody_at_once() -> None:
    assert codes(candidate(assignee="a1"), agent_id=None) == ["assigned"]


def test_reasons_name_what_they_are_about() -> None:
    task = candidate(
        is_dead=True,
        dead_letter_reason=None,
        lease_expires_at_ms=NOW_MS + 5,
        run_id="r",
        holder="",
        open_dependency_ids=["t1", "t2"],
        assignee="a2",
    )

    dead, leased, blocked, assigned = reasons_against(task, agent_id="a1", now_ms=NOW_MS)

    assert dead.reason is UNSET
    assert (leased.run_id, leased.agent_id, leased.until_ms) == ("r", "", NOW_MS + 5)
    assert blocked.task_ids == ["t1", "t2"]
    assert assigned.agent_id == "a2"


def test_the_order_is_priority_then_assignment_then_age_then_creation() -> None:
    best_first = [
        claim_order(priority=9, is_assigned=False, created_at_ms=9, seq=9),
        claim_order(priority=5, is_assigned=True, created_at_ms=9, seq=9),
        claim_order(priority=5, is_assigned=False, created_at_ms=1, seq=9),
        claim_order(priority=5, is_assigned=False, created_at_ms=1, seq=10),
        claim_order(priority=5, is_assigned=False, created_at_ms=2, seq=1),
        claim_order(priority=-5, is_assigned=True, created_at_ms=0, seq=0),
    ]

    assert sorted(best_first) == best_first


@given(
    st.lists(
        st.tuples(st.integers(), st.booleans(), st.integers(), st.integers()),
        unique_by=lambda each: each[3],
    )
)
def test_no_two_tasks_are_equal_in_order(tasks: list[tuple[int, bool, int, int]]) -> None:
    keys = [
        claim_order(priority=priority, is_assigned=mine, created_at_ms=created, seq=seq)
        for priority, mine, created, seq in tasks
    ]

    assert len(set(keys)) == len(keys)
