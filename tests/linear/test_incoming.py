from __future__ import annotations

import json
from typing import Any

import pytest

from tests.factories import refused
from tests.linear.faults import Fault
from tests.linear.mirror import Mirror
from tickets.lifecycle.linear.issues import write_time

Json = dict[str, Any]

STARTED = {"id": "s", "name": "In Progress", "type": "started"}


def theirs(mirror: Mirror, ticket: Json, **fields: Any) -> None:
    """Change an issue by hand, a moment later, and let the service hear of it."""
    mirror.clock.advance(ms=10)
    mirror.linear.edit(ticket["sync"]["external_id"], **fields)
    mirror.deliver_all()


def types(events: list[Json]) -> list[str]:
    """Return what happened."""
    return [event["type"] for event in events]


@pytest.mark.parametrize("order", ["before", "after"])
def test_what_we_sent_ourselves_comes_back_as_an_echo(
    mirror: Mirror, order: str
) -> None:  # T-36
    ticket = mirror.mirrored(description="D")
    before = mirror.outcomes()
    mirror.patch(ticket["id"], title="New", description="E  \n")
    mirror.started(ticket["id"])
    told = mirror.events(ticket["id"])
    if order == "before":
        mirror.linear.before_answer = mirror.deliver_all

    mirror.clock.advance(ms=10)
    mirror.push()
    mirror.clock.advance(ms=10)
    mirror.deliver_all()

    assert mirror.outcomes()[len(before) :] == ["echo" if order == "before" else "stale"]
    assert mirror.events(ticket["id"]) == told
    assert mirror.outbox("pending") == []
    assert mirror.push() == 0
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"


@pytest.mark.parametrize("order", ["before", "after"])
def test_our_own_create_comes_back_as_an_echo(mirror: Mirror, order: str) -> None:  # T-36
    ticket = mirror.create(description="D", labels=["bug"], priority="low")
    if order == "before":
        mirror.linear.before_answer = mirror.deliver_all

    mirror.settle()

    assert mirror.outcomes() == ["echo" if order == "before" else "stale"]
    assert types(mirror.events(ticket["id"])) == ["TicketCreated", "TicketDetailsUpdated"]
    assert list(mirror.events(ticket["id"])[1]["data"]["changed"]) == ["external_key", "url"]


def test_an_issue_that_is_done_in_linear_is_done_here(mirror: Mirror) -> None:  # T-40
    ticket = mirror.mirrored()
    told = len(mirror.events(ticket["id"]))

    theirs(mirror, ticket, state="Done")

    events = mirror.events(ticket["id"])[told:]
    assert types(events) == [
        "TicketStarted",
        "TicketStatusChanged",
        "TicketCompleted",
        "TicketStatusChanged",
    ]
    assert events[0]["data"]["external"] is True
    assert events[0]["data"]["task_id"] is None
    assert events[0]["actor"].startswith("linear:")
    assert [event["data"].get("trigger") for event in events][1::2] == [
        "external_start",
        "remote",
    ]
    assert mirror.push() == 0
    assert mirror.get(ticket["id"])["status"] == "done"
    assert mirror.client.get("/tasks").json["items"] == []


def test_a_cancel_in_linear_cancels_here(mirror: Mirror) -> None:  # T-41
    ticket = mirror.mirrored()
    mirror.started(ticket["id"])
    mirror.settle()

    theirs(mirror, ticket, state="Canceled")

    assert mirror.get(ticket["id"])["status"] == "cancelled"
    assert mirror.push() == 0


def test_a_cancel_in_linear_takes_the_task_back(mirror: Mirror) -> None:  # T-41
    mirror.client.put_json("/workspaces/w/agents/ada", {"role": "coder"}, status=201)
    ticket = mirror.mirrored(assigned_agent_id="ada")
    assert ticket["status"] == "in_progress"
    body = {"agent_id": "ada", "agent_role": "coder"}
    claim = mirror.client.post_json("/leases/claim", body).json

    theirs(mirror, ticket, state="Canceled")

    assert mirror.get(ticket["id"])["status"] == "cancelled"
    mirror.client.post_json(
        f"/leases/{claim['lease_id']}/heartbeat",
        {},
        headers={"Authorization": f"Bearer {claim['lease_token']}"},
        status=410,
    )
    assert mirror.push() == 0


def test_a_cancel_in_linear_beats_a_later_change_here(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.edit(ticket["sync"]["external_id"], state="Canceled")
    mirror.clock.advance(ms=10)
    mirror.started(ticket["id"])

    mirror.deliver_all()

    assert mirror.get(ticket["id"])["status"] == "cancelled"
    mirror.settle()
    assert mirror.issue(ticket)["state"] == "Canceled"


def test_what_ended_here_is_not_reopened_there(mirror: Mirror) -> None:  # T-41
    ticket = mirror.mirrored()
    mirror.started(ticket["id"])
    mirror.move(ticket["id"], "done")
    mirror.settle()

    theirs(mirror, ticket, state="Todo", title="Again")

    found = mirror.get(ticket["id"])
    assert (found["status"], found["title"]) == ("done", "Again")
    assert found["sync"]["state"] == "conflict"
    assert found["sync"]["conflict"] == {
        "code": "terminal_locally",
        "field": "status",
        "local": "done",
        "remote": "open",
        "at_ms": mirror.clock.now_ms(),
    }
    assert mirror.push() == 0
    assert mirror.outcomes()[-1] == "conflict"
    theirs(mirror, ticket, state="Done")
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"


def test_a_conflict_can_be_resolved_for_the_ticket(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.started(ticket["id"])
    mirror.move(ticket["id"], "done")
    mirror.settle()
    assert mirror.resolve(ticket["id"], "local", status=409) == refused("no_conflict")
    theirs(mirror, ticket, state="Todo")
    assert mirror.resolve(ticket["id"], "remote", status=409) == refused("invalid_transition")
    assert mirror.get(ticket["id"])["sync"]["state"] == "conflict"

    mirror.resolve(ticket["id"], "local")
    mirror.settle()

    assert mirror.issue(ticket)["state"] == "Done"
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"


def test_a_conflict_can_be_resolved_for_the_issue(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.started(ticket["id"])
    mirror.settle()
    theirs(mirror, ticket, state="Todo")
    conflict = mirror.get(ticket["id"])["sync"]["conflict"]
    assert (conflict["code"], conflict["remote"]) == ("unsupported_transition", "open")
    assert mirror.resolve(ticket["id"], "remote", status=409) == refused("invalid_transition")

    theirs(mirror, ticket, state="In Review")

    assert mirror.get(ticket["id"])["sync"]["conflict"] is None


def test_changes_of_different_fields_both_survive(mirror: Mirror) -> None:  # T-42
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="Ours")

    theirs(mirror, ticket, description="Theirs")
    mirror.settle()

    found, issue = mirror.get(ticket["id"]), mirror.issue(ticket)
    assert (found["title"], found["description"]) == ("Ours", "Theirs")
    assert (issue["title"], issue["description"]) == ("Ours", "Theirs")


@pytest.mark.parametrize("later", ["ours", "theirs"])
@pytest.mark.parametrize("is_pushed_first", [False, True])
def test_of_two_changes_of_one_field_the_later_wins(
    mirror: Mirror, later: str, is_pushed_first: bool
) -> None:  # T-42
    ticket = mirror.mirrored()
    if later == "ours":
        mirror.linear.edit(ticket["sync"]["external_id"], title="theirs")
        mirror.clock.advance(ms=10)
        mirror.patch(ticket["id"], title="ours")
    else:
        mirror.patch(ticket["id"], title="ours")
        mirror.clock.advance(ms=10)
        if is_pushed_first:
            mirror.push()
            mirror.clock.advance(ms=10)
        mirror.linear.edit(ticket["sync"]["external_id"], title="theirs")

    mirror.deliver_all()
    mirror.settle()

    assert mirror.get(ticket["id"])["title"] == later
    assert mirror.issue(ticket)["title"] == later
    assert mirror.get(ticket["id"])["sync"]["state"] == "synced"


def test_a_change_of_theirs_that_our_push_overtook_is_not_lost(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.edit(ticket["sync"]["external_id"], description="Theirs")
    mirror.clock.advance(ms=10)
    mirror.patch(ticket["id"], title="Ours")

    # The answer to the push shows their change before its webhook comes.
    mirror.push()

    assert mirror.get(ticket["id"])["description"] == "Theirs"
    mirror.settle()
    assert mirror.issue(ticket)["description"] == "Theirs"
    assert mirror.issue(ticket)["title"] == "Ours"


def test_a_change_of_theirs_wins_over_an_older_one_that_was_on_its_way(
    mirror: Mirror,
) -> None:
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="Ours", description="D")
    (taken,) = mirror.app.lifecycle.pushing.take(1)
    mirror.clock.advance(ms=10)
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    mirror.deliver_all()
    mirror.clock.advance(ms=10)

    # Ours arrives last, though it is the older.
    mirror.app.lifecycle.pushing.push(taken)
    mirror.settle()

    assert mirror.get(ticket["id"])["title"] == "Theirs"
    assert mirror.issue(ticket)["title"] == "Theirs"
    assert mirror.issue(ticket)["description"] == "D"


def test_an_echo_does_not_undo_what_was_changed_here_meanwhile(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="Older")
    (taken,) = mirror.app.lifecycle.pushing.take(1)
    mirror.clock.advance(ms=10)
    mirror.patch(ticket["id"], title="Newer")
    mirror.clock.advance(ms=10)
    # Linear dates what it was sent later than the newer change, and tells of it at once.
    mirror.linear.before_answer = mirror.deliver_all

    mirror.app.lifecycle.pushing.push(taken)
    assert mirror.get(ticket["id"])["title"] == "Newer"
    mirror.settle()

    assert mirror.issue(ticket)["title"] == "Newer"


def test_what_lost_to_a_change_of_theirs_is_not_sent_any_more(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="Ours", priority="low")

    theirs(mirror, ticket, title="Theirs")
    mirror.push()

    inputs = [
        call.variables["input"] for call in mirror.linear.calls if "Update" in call.operation
    ]
    assert inputs == [{"priority": 4}]


def test_a_webhook_that_was_overtaken_is_stale(mirror: Mirror) -> None:  # T-43
    ticket = mirror.mirrored()
    external_id = ticket["sync"]["external_id"]
    mirror.linear.edit(external_id, title="First")
    mirror.clock.advance(ms=10)
    mirror.linear.edit(external_id, title="Second")
    first, second = mirror.linear.webhooks

    mirror.deliver(second)
    mirror.deliver(first)

    assert mirror.outcomes()[-2:] == ["applied", "stale"]
    assert mirror.get(ticket["id"])["title"] == "Second"


@pytest.mark.parametrize(
    ("way", "state", "status"),
    [
        ([], "In Progress", "in_progress"),
        ([], "Blocked", "blocked"),
        ([], "Canceled", "cancelled"),
        ([], "Duplicate", "cancelled"),
        (["in_progress"], "Blocked", "blocked"),
        (["in_progress"], "Done", "done"),
        (["in_progress", "blocked"], "In Progress", "in_progress"),
        (["in_progress", "blocked"], "Done", "done"),
        (["in_progress", "blocked"], "Canceled", "cancelled"),
    ],
)
def test_a_ticket_follows_its_issue(
    mirror: Mirror, way: list[str], state: str, status: str
) -> None:
    ticket = mirror.mirrored()
    more: Json = {"in_progress": {"external": True}, "blocked": {"reason": "r"}}
    for to in way:
        mirror.move(ticket["id"], to, **more[to])
    mirror.settle()

    theirs(mirror, ticket, state=state)

    assert mirror.get(ticket["id"])["status"] == status
    assert mirror.push() == 0
    assert mirror.issue(ticket)["state"] == state


def test_every_field_comes_over(mirror: Mirror) -> None:
    ticket = mirror.mirrored(labels=["old"])

    theirs(mirror, ticket, title=" T ", description="D\r\n", priority=1, labels=["Bug", "ui"])

    found = mirror.get(ticket["id"])
    assert (found["title"], found["description"]) == ("T", "D")
    assert (found["priority"], found["labels"]) == ("critical", ["Bug", "ui"])
    assert found["version"] == ticket["version"] + 1
    assert mirror.push() == 0


def test_an_issue_that_is_thrown_away_cancels_its_ticket(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.clock.advance(ms=10)

    mirror.linear.trash(ticket["sync"]["external_id"])
    mirror.deliver_all()

    found = mirror.get(ticket["id"])
    assert (found["status"], found["status_reason"]) == ("cancelled", "remote_deleted")
    assert found["sync"]["state"] == "detached"
    mirror.patch(ticket["id"], title="New")
    assert mirror.push() == 0


def test_issues_are_imported_where_that_is_wanted(mirror: Mirror) -> None:
    mirror.linear.make_issue(title="Before")
    mirror.deliver_all()
    mirror.connect(import_issues=True)

    issue_id = mirror.linear.make_issue(
        title="Theirs", description="D", priority=2, labels=["bug"], state="In Progress"
    )
    mirror.deliver_all()

    assert mirror.outcomes() == ["ignored", "created"]
    ids = {event["ticket_id"] for event in _all_events(mirror)}
    (ticket,) = [mirror.get(each) for each in ids]
    assert ticket["sync"]["external_id"] == issue_id
    assert (ticket["title"], ticket["priority"], ticket["labels"]) == (
        "Theirs",
        "high",
        ["bug"],
    )
    assert (ticket["status"], ticket["sync"]["state"]) == ("in_progress", "synced")
    assert ticket["created_by"].startswith("linear:")
    assert mirror.push() == 0


def _all_events(mirror: Mirror) -> list[Json]:
    from tests.worlds import looked_up

    found = looked_up(mirror.app.lifecycle.inbox._db, "SELECT ticket_id FROM ticket_events")
    return [{"ticket_id": row[0]} for row in found]


def test_a_poll_brings_what_no_webhook_brought(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.clock.advance(ms=10)
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    mirror.linear.webhooks.clear()
    reconcile = mirror.app.lifecycle.reconcile
    assert reconcile.poll_due() == 0
    mirror.clock.advance(ms=300_000)

    assert reconcile.poll_due() == 1
    mirror.app.lifecycle.inbox.apply_due()

    assert mirror.get(ticket["id"])["title"] == "Theirs"
    mirror.clock.advance(ms=300_000)
    before = mirror.outcomes()
    assert reconcile.poll_due() == 1
    assert mirror.outcomes() == before


def test_a_poll_can_be_asked_for(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    path = "/workspaces/w/integrations/linear/reconcile"

    answer = mirror.client.post(path, status=202).json
    mirror.app.lifecycle.reconcile.poll_due()
    mirror.app.lifecycle.inbox.apply_due()

    assert mirror.get(ticket["id"])["title"] == "Theirs"
    assert mirror.client.post(path, status=202).json["cursor_ms"] > answer["cursor_ms"]


def test_a_single_issue_can_be_asked_for(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.clock.advance(ms=10)
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")

    mirror.client.post(f"/tickets/{ticket['id']}/sync", headers=mirror.headers, status=202)
    assert mirror.app.lifecycle.reconcile.pull_due() == 1

    assert mirror.get(ticket["id"])["title"] == "Theirs"
    assert mirror.app.lifecycle.reconcile.pull_due() == 0


def answered(mirror: Mirror, *issues: Json) -> None:
    """Let the next list of issues be these, which need no more than what is looked at."""
    shown = {"updatedAt": write_time(mirror.clock.now_ms()), "title": "t", "state": STARTED}
    page = {"nodes": [{**shown, **issue} for issue in issues], "pageInfo": {}}
    mirror.linear.faults.append(Fault(200, json.dumps({"data": {"issues": page}}).encode()))


@pytest.mark.parametrize("at", ["9999-12-29T00:00:00.000Z", "9999-12-31T23:59:59-23:59"])
def test_an_issue_from_the_future_does_not_hide_what_changes_now(
    mirror: Mirror, at: str
) -> None:
    ticket = mirror.mirrored()
    reconcile = mirror.app.lifecycle.reconcile
    mirror.clock.advance(ms=300_000)
    answered(mirror, {"id": "i", "updatedAt": at})
    assert reconcile.poll_due() == 1
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    mirror.linear.webhooks.clear()
    mirror.clock.advance(ms=300_000)

    assert reconcile.poll_due() == 1
    mirror.app.lifecycle.inbox.apply_due()

    assert mirror.get(ticket["id"])["title"] == "Theirs"


@pytest.mark.parametrize(
    "odd", [{"id": "i", "updatedAt": "soon"}, {"id": "i", "state": None}, {"id": "x" * 129}]
)
def test_an_issue_that_cannot_be_read_does_not_hide_the_others(
    mirror: Mirror, odd: Json
) -> None:
    ticket = mirror.mirrored()
    mirror.clock.advance(ms=300_000)
    answered(mirror, odd, {"id": ticket["sync"]["external_id"], "title": "Theirs"})

    assert mirror.app.lifecycle.reconcile.poll_due() == 1
    mirror.app.lifecycle.inbox.apply_due()

    assert mirror.get(ticket["id"])["title"] == "Theirs"
