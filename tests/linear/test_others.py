"""What belongs to a ticket besides its fields: comments, links, parents, assignees."""

from __future__ import annotations

from typing import Any

from tests.linear.mirror import Mirror
from tickets.ids import new_id

Json = dict[str, Any]


def comments(mirror: Mirror, ticket: Json) -> list[Json]:
    """Return the comments that people made."""
    path = f"/tickets/{ticket['id']}/comments"
    items = mirror.client.get(path, headers=mirror.headers).json["items"]
    return [comment for comment in items if comment["kind"] != "system"]


def post(mirror: Mirror, ticket: Json, part: str, body: Json) -> Json:
    """Post to a part of a ticket."""
    path = f"/tickets/{ticket['id']}/{part}"
    answer: Json = mirror.client.post_json(path, body, headers=mirror.headers).json
    return answer


def test_comments_go_both_ways_and_each_is_there_once(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    external_id = ticket["sync"]["external_id"]
    ours = post(mirror, ticket, "comments", {"body": "Ours"})
    post(mirror, ticket, "comments", {"body": "A thought", "kind": "thinking"})
    author = mirror.linear.add_user()
    theirs = mirror.linear.comment(external_id, "Theirs", actor=author)

    mirror.settle()

    assert set(mirror.linear.comments) == {ours["id"], theirs}
    assert [(each["body"], each["author"]) for each in comments(mirror, ticket)] == [
        ("Ours", "user"),
        ("A thought", "user"),
        ("Theirs", f"linear:{author}"),
    ]
    assert comments(mirror, ticket)[2]["external_id"] == theirs
    assert mirror.outcomes()[-2:].count("echo") == 1


def test_links_of_a_ticket_that_comes_to_be_mirrored_become_relations(mirror: Mirror) -> None:
    old = mirror.mirrored(title="Old")
    new = mirror.create(provider="local", title="New")
    local = mirror.create(provider="local", title="Local")
    for source, type_, target in [
        (new, "blocks", old),
        (old, "relatesTo", new),
        (new, "blocks", local),
    ]:
        post(mirror, source, "links", {"type": type_, "target_ticket_id": target["id"]})
    assert mirror.push() == 0

    mirror.patch(new["id"], provider="linear")
    mirror.settle()

    issues = {
        mirror.get(each["id"])["sync"]["external_id"]: each["title"] for each in [old, new]
    }
    assert sorted(
        (issues[each["issueId"]], each["type"], issues[each["relatedIssueId"]])
        for each in mirror.linear.relations.values()
    ) == [("New", "blocks", "Old"), ("Old", "related", "New")]
    assert {row["state"] for row in mirror.outbox()} == {"done"}


def test_links_become_relations_and_go_again(mirror: Mirror) -> None:
    one, other = mirror.mirrored(), mirror.mirrored()
    local = mirror.client.post_json("/tickets", {"title": "l"}, headers=mirror.headers).json
    made = [
        post(mirror, one, "links", {"type": type_, "target_ticket_id": other["id"], **more})
        for type_, more in (
            ("blocks", {"direction": "incoming"}),
            ("relatesTo", {}),
            ("duplicateOf", {"close_duplicate": False}),
        )
    ]
    post(mirror, one, "links", {"type": "relatesTo", "target_ticket_id": local["id"]})

    mirror.settle()

    first, second = (ticket["sync"]["external_id"] for ticket in (one, other))
    shown = {
        each["id"]: (each["type"], each["issueId"], each["relatedIssueId"])
        for each in mirror.linear.relations.values()
    }
    assert shown == {
        made[0]["id"]: ("blocks", second, first),
        made[1]["id"]: ("related", first, second),
        made[2]["id"]: ("duplicate", first, second),
    }
    path = f"/tickets/{one['id']}/links/{made[0]['id']}"
    mirror.client.delete(path, headers=mirror.headers, status=204)
    mirror.settle()
    assert made[0]["id"] not in mirror.linear.relations


def test_a_link_waits_until_both_issues_are_there(mirror: Mirror) -> None:
    one, other = mirror.create(), mirror.create()
    post(mirror, one, "links", {"type": "relatesTo", "target_ticket_id": other["id"]})
    taken = mirror.app.lifecycle.pushing.take(2)
    by_ticket = {each.ticket_id: each for each in taken}

    mirror.app.lifecycle.pushing.push(by_ticket[one["id"]])
    assert mirror.push() == 0
    mirror.app.lifecycle.pushing.push(by_ticket[other["id"]])
    mirror.clock.advance(ms=1_000)
    mirror.push()

    assert len(mirror.linear.relations) == 1


def test_a_child_waits_for_its_parent(mirror: Mirror) -> None:
    parent = mirror.create(title="Parent")
    child = mirror.create(title="Child", parent_ticket_id=parent["id"])
    (taken,) = mirror.app.lifecycle.pushing.take(4)
    assert taken.ticket_id == parent["id"]
    assert mirror.push() == 0

    mirror.app.lifecycle.pushing.push(taken)
    mirror.clock.advance(ms=1_000)
    mirror.push()

    assert mirror.issue(child)["parentId"] == parent["sync"]["external_id"]


def test_parents_come_over(mirror: Mirror) -> None:
    parent, child = mirror.mirrored(), mirror.mirrored()

    mirror.linear.edit(child["sync"]["external_id"], parentId=parent["sync"]["external_id"])
    mirror.deliver_all()
    assert mirror.get(child["id"])["parent_ticket_id"] == parent["id"]
    mirror.clock.advance(ms=10)
    mirror.linear.edit(parent["sync"]["external_id"], parentId=child["sync"]["external_id"])
    mirror.deliver_all()

    conflict = mirror.get(parent["id"])["sync"]["conflict"]
    assert (conflict["code"], conflict["field"]) == ("parent_cycle", "parent")
    mirror.clock.advance(ms=10)
    mirror.linear.edit(child["sync"]["external_id"], parentId=None)
    mirror.deliver_all()
    assert mirror.get(child["id"])["parent_ticket_id"] is None


def agent(mirror: Mirror, user_id: str | None) -> str:
    """Register an agent that stands for a user of Linear's."""
    id_ = new_id()
    body = {"role": "coder", "linear_user_id": user_id}
    mirror.client.put_json(f"/workspaces/w/agents/{id_}", body, status=201)
    return id_


def test_assignees_go_both_ways_where_an_agent_stands_for_them(mirror: Mirror) -> None:
    ann, bob = mirror.linear.add_user("Ann"), mirror.linear.add_user("Bob")
    first, second, nobody = agent(mirror, ann), agent(mirror, bob), agent(mirror, None)
    ticket = mirror.mirrored()

    post(mirror, ticket, "assign", {"agent_id": first})
    mirror.settle()
    assert mirror.issue(ticket)["assigneeId"] == ann
    mirror.linear.edit(ticket["sync"]["external_id"], assigneeId=bob)
    mirror.deliver_all()
    assert mirror.get(ticket["id"])["assigned_agent_id"] == second
    mirror.clock.advance(ms=10)
    for unknown in (mirror.linear.add_user("Eve"), None):
        mirror.linear.edit(ticket["sync"]["external_id"], assigneeId=unknown)
        mirror.deliver_all()
        mirror.clock.advance(ms=10)
        assert mirror.get(ticket["id"])["assigned_agent_id"] == second
    post(mirror, ticket, "assign", {"agent_id": nobody})
    mirror.settle()
    assert mirror.issue(ticket)["assigneeId"] is None


def test_an_agent_who_works_in_another_workspace_by_now_is_not_sent(mirror: Mirror) -> None:
    agent = "/workspaces/{}/agents/ada"
    mirror.client.post_json("/workspaces", {"id": "other", "name": "O"}, status=201)
    mirror.client.put_json(agent.format("w"), {"role": "coder"})
    ticket = mirror.mirrored(assigned_agent_id="ada")
    mirror.move(ticket["id"], "cancelled")
    mirror.settle()
    mirror.client.delete(agent.format("w"), status=204)
    theirs = {"role": "coder", "linear_user_id": mirror.linear.add_user("Ann")}
    mirror.client.put_json(agent.format("other"), theirs, status=201)

    mirror.linear.edit(ticket["sync"]["external_id"], state="In Progress")
    mirror.settle()

    mirror.resolve(ticket["id"], "local")
    mirror.settle()

    assert mirror.issue(ticket)["state"] == "Canceled"
    assert all(
        "assigneeId" not in call.variables.get("input", {}) for call in mirror.linear.calls
    )


def test_the_error_of_a_failed_ticket_does_not_come_back_as_a_comment(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.started(ticket["id"])
    mirror.move(ticket["id"], "failed", error_message="broken")

    mirror.settle()

    assert [each["body"] for each in mirror.linear.comments.values()] == ["Failed: broken"]
    assert comments(mirror, ticket) == []
