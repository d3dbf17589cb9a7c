from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickets.lifecycle.linear.issues import (
    Unreadable,
    as_description,
    as_labels,
    read_issue,
    read_time_ms,
    write_time,
)

STATE = {"id": "s1", "name": "Todo", "type": "unstarted", "color": "#bec2c8"}


def webhook_data(**changed: Any) -> dict[str, Any]:
    """Return the ``data`` of a webhook about an issue."""
    return {
        "id": "i1",
        "createdAt": "2026-11-21T10:00:00.000Z",
        "updatedAt": "2026-11-21T10:00:00.123Z",
        "number": 12,
        "identifier": "ENG-12",
        "title": " Fix it ",
        "description": "Please\r\n",
        "priority": 2,
        "priorityLabel": "High",
        "teamId": "t1",
        "stateId": "s1",
        "assigneeId": "u1",
        "parentId": "i0",
        "labelIds": ["l1"],
        "labels": [{"id": "l1", "name": "bug", "color": "#f00"}],
        "state": STATE,
        "url": "https://linear.app/acme/issue/ENG-12/fix-it",
        **changed,
    }


def test_a_webhook_and_an_answer_about_one_issue_are_read_the_same() -> None:
    answer = {
        "id": "i1",
        "identifier": "ENG-12",
        "url": "https://linear.app/acme/issue/ENG-12/fix-it",
        "title": "Fix it",
        "description": "Please",
        "priority": 2.0,
        "updatedAt": "2026-11-21T10:00:00.123Z",
        "trashed": None,
        "team": {"id": "t1"},
        "state": STATE,
        "labels": {"nodes": [{"id": "l1", "name": "bug"}]},
        "assignee": {"id": "u1"},
        "parent": {"id": "i0"},
    }

    issue = read_issue(webhook_data())

    assert issue == read_issue(answer)
    assert issue.values() == {
        "title": "Fix it",
        "description": "Please",
        "priority": "high",
        "status": {"id": "s1", "name": "Todo", "type": "unstarted"},
        "labels": ["bug"],
        "assignee": "u1",
        "parent": "i0",
    }


@pytest.mark.parametrize(
    ("number", "priority"),
    [(0, "medium"), (1, "critical"), (2, "high"), (3, "medium"), (4, "low"), (9, "medium")],
)
def test_priorities(number: int, priority: str) -> None:
    assert read_issue(webhook_data(priority=number)).priority == priority


def test_an_issue_in_the_bin_says_so() -> None:
    assert read_issue(webhook_data(trashed=True)).trashed
    assert not read_issue(webhook_data()).trashed


@pytest.mark.parametrize("id_", ["\0", "a\0b", " a", "x" * 129])
def test_what_no_database_keeps_as_an_id_is_none(id_: str) -> None:
    with pytest.raises(Unreadable):
        read_issue(webhook_data(id=id_))


@pytest.mark.parametrize("at", ["1969-12-31T23:59:59Z", "9999-12-31T00:00:00-23:59"])
def test_a_time_that_nobody_could_write_again_is_refused(at: str) -> None:
    with pytest.raises(Unreadable):
        read_time_ms(at)


def test_what_people_know_an_issue_by_is_short_or_not_there() -> None:
    issue = read_issue(
        webhook_data(
            identifier="E" * 129, url="u" * 2_001, assigneeId="a" * 129, parentId="p" * 129
        ),
        url={"not": "a text"},
    )

    assert (issue.identifier, issue.url, issue.assignee, issue.parent) == (None,) * 4


@pytest.mark.parametrize("priority", [float("inf"), float("nan"), 1e308, 10**30, -1, 2.5])
def test_a_number_that_is_no_priority_is_none(priority: float) -> None:
    assert read_issue(webhook_data(priority=priority)).priority == "medium"


@pytest.mark.parametrize("key", ["id", "title", "updatedAt", "state"])
@pytest.mark.parametrize("value", [None, 7, [], {}, ""])
def test_what_is_no_issue_is_refused(key: str, value: object) -> None:
    if (key, value) == ("title", ""):
        assert read_issue(webhook_data(title="")).title == "(untitled)"
        return
    with pytest.raises(Unreadable):
        read_issue(webhook_data(**{key: value}))


@pytest.mark.parametrize("odd", ["x" * 129, "a\0b", "a\nb", "\ud800"])
def test_an_id_is_a_short_word(odd: str) -> None:
    assert read_issue(webhook_data(id="x" * 128)).id == "x" * 128
    with pytest.raises(Unreadable):
        read_issue(webhook_data(id=odd))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


# A machine that has other things to do draws slowly.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(webhook_data())), JSON))
def test_whatever_linear_sends_is_read_or_refused(changed: dict[str, Any]) -> None:
    try:
        issue = read_issue(webhook_data(**changed))
    except Unreadable:
        return
    assert 0 < len(issue.title) <= 500
    assert issue.description is None or 0 < len(issue.description) <= 100_000


@given(st.integers(0, 4_102_444_800_000))
def test_times_are_read_as_they_are_written(at_ms: int) -> None:
    assert read_time_ms(write_time(at_ms)) == at_ms


def test_a_time_may_have_a_zone_and_any_number_of_digits() -> None:
    assert read_time_ms("1970-01-01T01:00:00.5+01:00") == 500
    assert read_time_ms("1970-01-01T00:00:01") == 1_000


@given(st.text())
def test_a_description_is_brought_into_its_form_once(text: str) -> None:
    once = as_description(text)

    assert as_description(once) == once


def test_labels_are_trimmed_and_each_is_there_once() -> None:
    assert as_labels([" bug ", "BUG", "", "x" * 65, "ui"]) == ("bug", "ui")
    assert len(as_labels(str(number) for number in range(60))) == 50
