from __future__ import annotations

from typing import Any

import pytest

from tests.linear.faults import (
    LOST_RESPONSE,
    SERVER_ERROR,
    Fault,
    rate_limited,
    refusal,
)
from tests.linear.mirror import LINEAR, Mirror


def updates(mirror: Mirror) -> list[dict[str, object]]:
    """Return what was asked of issues that exist."""
    calls = mirror.linear.calls
    return [call.variables["input"] for call in calls if call.operation == "IssueUpdate"]


def test_a_new_ticket_becomes_an_issue(mirror: Mirror) -> None:
    ticket = mirror.create(description="D", priority="high", labels=["bug"])
    assert ticket["sync"]["state"] == "pending"
    assert mirror.linear.calls == []

    mirror.push()

    ticket = mirror.get(ticket["id"])
    issue = mirror.issue(ticket)
    assert (issue["title"], issue["description"], issue["priority"]) == ("Title", "D", 2)
    assert (issue["state"], issue["labels"]) == ("Todo", ["bug"])
    assert (ticket["external_key"], ticket["url"]) == (issue["identifier"], issue["url"])
    assert ticket["sync"]["state"] == "synced"
    assert ticket["sync"]["remote_status"] == "Todo"


def test_failures_that_pass_are_tried_again_after_a_while(mirror: Mirror) -> None:  # T-37
    ticket = mirror.mirrored()
    mirror.linear.faults.extend([SERVER_ERROR, SERVER_ERROR])
    mirror.patch(ticket["id"], title="New")
    begun_ms = mirror.clock.now_ms()

    sent_ms = []
    for _ in range(40):
        sent_ms += [mirror.clock.now_ms() - begun_ms] * mirror.push()
        mirror.clock.advance(ms=100)

    assert sent_ms == [0, 1_000, 3_000]
    assert updates(mirror) == [{"title": "New"}] * 3
    assert mirror.issue(ticket)["title"] == "New"
    sync = mirror.get(ticket["id"])["sync"]
    assert (sync["state"], sync["attempts"], sync["last_error"]) == ("synced", 0, None)


def test_after_ten_failures_a_change_is_given_up_until_somebody_asks(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.extend([SERVER_ERROR] * 10)
    mirror.patch(ticket["id"], title="New")

    for _ in range(12):
        mirror.push()
        mirror.clock.advance(ms=400_000)

    assert len(updates(mirror)) == 10
    sync = mirror.get(ticket["id"])["sync"]
    assert (sync["state"], sync["last_error"]) == ("error", "HTTP 500")
    path = f"/tickets/{ticket['id']}/sync"
    mirror.client.post(path, headers=mirror.headers, status=202)
    mirror.settle()
    assert mirror.issue(ticket)["title"] == "New"
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"


@pytest.mark.parametrize(
    "fault",
    [
        refusal(400, "Argument Validation Error", type="invalid input", code="INPUT_ERROR"),
        refusal(403, "Forbidden", type="forbidden", code="FORBIDDEN"),
        Fault(200, b'{"data":{"issueUpdate":{"success":false,"issue":null}}}'),
    ],
)
def test_a_refusal_is_final(mirror: Mirror, fault: Fault) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.append(fault)
    mirror.patch(ticket["id"], title="New")

    mirror.push()
    mirror.clock.advance(ms=1_000_000)

    assert mirror.push() == 0
    assert [row["state"] for row in mirror.outbox()] == ["done", "dead"]
    assert mirror.get(ticket["id"])["sync"]["state"] == "error"


def test_a_later_change_takes_the_place_of_one_that_was_given_up(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.append(refusal(403, "Forbidden"))
    mirror.patch(ticket["id"], title="New")
    mirror.push()

    mirror.patch(ticket["id"], title="Newer")
    mirror.settle()

    assert mirror.outbox("dead") == []
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"
    assert mirror.issue(ticket)["title"] == "Newer"


def test_a_create_whose_answer_was_lost_makes_one_issue(mirror: Mirror) -> None:  # T-38
    mirror.client.post(f"{LINEAR}/verify", status=200)
    mirror.linear.faults.append(LOST_RESPONSE)
    ticket = mirror.create()
    mirror.push()
    assert len(mirror.linear.issues) == 1
    assert mirror.get(ticket["id"])["external_key"] is None

    mirror.clock.advance(ms=1_000)
    mirror.push()

    creates = [
        c.variables["input"] for c in mirror.linear.calls if c.operation == "IssueCreate"
    ]
    assert [each["id"] for each in creates] == [ticket["sync"]["external_id"]] * 2
    assert len(mirror.linear.issues) == 1
    ticket = mirror.get(ticket["id"])
    issue = mirror.issue(ticket)
    assert (ticket["external_key"], ticket["url"]) == (issue["identifier"], issue["url"])
    assert ticket["sync"]["state"] == "synced"


@pytest.mark.parametrize("unit", ["retry-after", "ms", "s"])
def test_a_limit_is_kept_by_the_whole_workspace(mirror: Mirror, unit: str) -> None:  # T-39
    ticket, other = mirror.mirrored(), mirror.mirrored()
    until_ms = mirror.clock.now_ms() // 1_000 * 1_000 + 30_000
    headers = {
        "retry-after": {"retry_after": str((until_ms - mirror.clock.now_ms()) / 1_000)},
        "ms": {"x_ratelimit_requests_reset": str(until_ms)},
        "s": {"x_ratelimit_complexity_reset": str(until_ms // 1_000)},
    }[unit]
    mirror.linear.faults.append(rate_limited(**headers))
    mirror.patch(ticket["id"], title="New")
    mirror.push()
    calls = len(mirror.linear.calls)

    mirror.patch(other["id"], title="New, too")
    mirror.clock.advance(ms=until_ms - mirror.clock.now_ms() - 1)
    assert mirror.push() == 0
    assert len(mirror.linear.calls) == calls
    assert mirror.get(ticket["id"])["sync"]["attempts"] == 0
    mirror.clock.advance(ms=1)

    assert mirror.push() == 2
    assert {issue["title"] for issue in mirror.linear.issues.values()} == {"New", "New, too"}


def test_a_refused_key_stops_the_queue_and_loses_nothing(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    key, mirror.linear.key = mirror.linear.key, "another"
    mirror.patch(ticket["id"], title="New")

    assert mirror.push() == 1
    assert mirror.push() == 0
    shown = mirror.client.get(LINEAR).json
    assert (shown["status"], shown["queue"]["pending"]) == ("auth_failed", 1)
    assert mirror.client.post(f"{LINEAR}/verify", status=502).json["error"]["code"] == (
        "provider_error"
    )
    mirror.linear.key = key
    mirror.client.post(f"{LINEAR}/verify", status=200)

    assert mirror.push() == 1
    assert mirror.issue(ticket)["title"] == "New"
    assert mirror.client.get(LINEAR).json["status"] == "ok"


def test_changes_that_wait_go_out_together(mirror: Mirror) -> None:
    ticket = mirror.mirrored()

    mirror.patch(ticket["id"], title="One")
    mirror.patch(ticket["id"], title="Two", priority="low")
    mirror.push()

    assert updates(mirror) == [{"title": "Two", "priority": 4}]


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (["in_progress"], "In Progress"),
        (["in_progress", "blocked"], "Blocked"),
        (["in_progress", "done"], "Done"),
        (["in_progress", "failed"], "Canceled"),
        (["cancelled"], "Canceled"),
    ],
)
def test_a_status_goes_to_its_state(mirror: Mirror, way: list[str], state: str) -> None:
    ticket = mirror.mirrored()
    more: dict[str, Any] = {
        "in_progress": {"external": True},
        "blocked": {"reason": "r"},
        "failed": {"error_message": "broken"},
    }
    for to in way:
        mirror.move(ticket["id"], to, **more.get(to, {}))

    mirror.settle()

    assert mirror.issue(ticket)["state"] == state
    assert mirror.get(ticket["id"])["status"] == way[-1]
    comments = [comment["body"] for comment in mirror.linear.comments.values()]
    assert comments == (["Failed: broken"] if way[-1] == "failed" else [])


def test_more_than_ten_pushes_of_one_ticket_in_a_minute_are_a_loop(mirror: Mirror) -> None:
    ticket, other = mirror.mirrored(), mirror.mirrored()
    mirror.clock.advance(ms=60_000)
    for number in range(12):
        mirror.patch(ticket["id"], title=str(number))
        mirror.push()

    assert len(updates(mirror)) == 10
    assert mirror.get(ticket["id"])["sync"]["last_error"] == "loop_suspected"
    mirror.patch(other["id"], title="Not looping")
    mirror.settle()
    assert mirror.issue(other)["title"] == "Not looping"
    mirror.clock.advance(ms=60_000)
    mirror.settle()
    assert mirror.issue(ticket)["title"] == "11"


def test_two_pushes_within_one_millisecond_are_both_remembered(mirror: Mirror) -> None:
    ticket = mirror.create()
    mirror.started(ticket["id"])

    assert mirror.push() == 2

    assert mirror.sync(ticket["id"])["shadow"]["status"]["name"] == "In Progress"


def test_a_process_that_dies_in_between_sends_the_same_again(mirror: Mirror) -> None:
    ticket = mirror.create()
    (taken,) = mirror.app.lifecycle.pushing.take(4)
    # Sent, and never recorded.
    mirror.linear.insert(taken.request.issue_id, {"title": "Title"}, mirror.linear.viewer_id)
    assert mirror.push() == 0

    mirror.clock.advance(ms=60_000)

    assert mirror.push() == 1
    assert len(mirror.linear.issues) == 1
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"
    # Whoever was slow finds that it is not theirs any more.
    mirror.app.lifecycle.pushing.push(taken)
    assert [row["state"] for row in mirror.outbox()] == ["done"]


def test_two_workers_never_have_one_ticket_in_flight_twice(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="One")
    (first,) = mirror.app.lifecycle.pushing.take(4)
    mirror.patch(ticket["id"], title="Two")

    assert mirror.app.lifecycle.pushing.take(4) == []
    mirror.app.lifecycle.pushing.push(first)
    assert mirror.push() == 1
    assert [each["title"] for each in updates(mirror)] == ["One", "Two"]
    assert mirror.get(ticket["id"])["title"] == "Two"


def test_two_tickets_with_one_new_label_are_both_sent(mirror: Mirror) -> None:
    ticket = mirror.create(labels=["bug"])
    linear = mirror.linear

    def others() -> None:
        if linear.calls[-1].operation == "Labels" and not linear.labels:
            linear.label_id("Bug")

    # Whoever sends the other ticket was a moment quicker.
    linear.before_answer = others

    assert mirror.push() == 1

    assert [row["state"] for row in mirror.outbox()] == ["done"]
    assert mirror.issue(mirror.get(ticket["id"]))["labels"] == ["Bug"]
    assert list(linear.labels.values()) == ["Bug"]


def test_nothing_is_sent_inside_a_transaction(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    db = mirror.app.lifecycle.inbox._db
    seen = []

    def look() -> None:
        with db.write() as tx:
            seen.append(tx._depth)

    mirror.linear.before_answer = look
    mirror.patch(ticket["id"], title="New")
    mirror.push()

    assert seen == [0]


def test_a_ticket_that_becomes_local_is_left_alone(mirror: Mirror) -> None:
    ticket = mirror.mirrored()

    mirror.patch(ticket["id"], provider="local")
    mirror.patch(ticket["id"], title="New")

    assert mirror.push() == 0
    found = mirror.get(ticket["id"])
    assert found["sync"]["state"] == "detached"
    assert found["external_key"] == ticket["external_key"]
    mirror.patch(ticket["id"], provider="linear")
    mirror.settle()
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"
