"""A workspace that is archived while something is on its way to Linear or back."""

from __future__ import annotations

from tests.linear.mirror import Mirror


def archive(mirror: Mirror, status: str = "archived") -> None:
    mirror.client.patch_json("/workspaces/w", {"status": status})


def test_what_was_to_be_sent_is_sent_once_and_the_answer_passed_over(mirror: Mirror) -> None:
    ticket = mirror.create()
    archive(mirror)

    assert mirror.push() == 1

    assert [row["state"] for row in mirror.outbox()] == ["done"]
    assert mirror.get(ticket["id"])["external_key"] is None
    mirror.clock.advance(ms=60_000)
    assert mirror.push() == 0
    assert len(mirror.linear.issues) == 1


def test_an_issue_that_was_asked_for_is_read_once(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.client.post(f"/tickets/{ticket['id']}/sync", headers=mirror.headers, status=202)
    archive(mirror)
    mirror.clock.advance(ms=10)
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")

    assert mirror.app.lifecycle.reconcile.pull_due() == 1

    mirror.clock.advance(ms=60_000)
    assert mirror.app.lifecycle.reconcile.pull_due() == 0
    assert mirror.get(ticket["id"])["title"] == "Title"


def test_what_changed_meanwhile_comes_when_the_workspace_is_there_again(
    mirror: Mirror,
) -> None:
    ticket = mirror.mirrored()
    lifecycle = mirror.app.lifecycle
    archive(mirror)
    mirror.clock.advance(ms=300_000)
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    mirror.linear.webhooks.clear()
    assert lifecycle.reconcile.poll_due() == 0
    # As long as a delivery is tried.
    for _ in range(12):
        lifecycle.inbox.apply_due()
        mirror.clock.advance(ms=300_000)

    archive(mirror, "active")
    assert lifecycle.reconcile.poll_due() == 1
    lifecycle.inbox.apply_due()

    assert mirror.get(ticket["id"])["title"] == "Theirs"
