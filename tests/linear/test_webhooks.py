from __future__ import annotations

import json

import pytest

from tests.factories import Json, refused
from tests.linear.mirror import LINEAR, SECRETS, Mirror
from tests.worlds import renamed
from tickets.ledger.operations.deliveries import is_first
from tickets.lifecycle.linear.signature import sign
from tickets.lifecycle.operations.pruning import KEPT_MS, prune


def changed_issue(mirror: Mirror) -> str:
    """Let somebody change an issue; a webhook waits. Return the ticket's id."""
    ticket = mirror.mirrored()
    mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
    return str(ticket["id"])


def test_a_webhook_with_a_wrong_signature_is_refused_and_leaves_nothing(
    mirror: Mirror,
) -> None:  # T-34
    ticket_id = changed_issue(mirror)
    before = mirror.outcomes()
    headers, body = mirror.linear.webhooks[0].sent("another secret", mirror.clock.now_ms())

    assert mirror.post(headers, body, status=401) == refused("invalid_signature")
    headers, body = mirror.linear.webhooks[0].sent(SECRETS[0], mirror.clock.now_ms())
    changed = body.replace(b"Theirs", b"theirs")
    assert mirror.post(headers, changed, status=401) == refused("invalid_signature")
    del headers["Linear-Signature"]
    assert mirror.post(headers, body, status=401) == refused("invalid_signature")

    assert mirror.outcomes() == before
    assert mirror.get(ticket_id)["title"] == "Title"
    # What was refused can still come.
    assert mirror.deliver() == {"status": "accepted"}


def test_a_webhook_is_taken_for_a_minute(mirror: Mirror) -> None:  # T-34
    changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks
    before = mirror.outcomes()

    answer = mirror.deliver(webhook, sent_ms_ago=61_000, status=401)

    assert answer == refused("stale_webhook")
    assert mirror.deliver(webhook, sent_ms_ago=-61_000, status=401) == answer
    assert mirror.outcomes() == before
    assert mirror.deliver(webhook, sent_ms_ago=60_000) == {"status": "accepted"}


def test_a_webhook_that_comes_twice_is_applied_once(mirror: Mirror) -> None:  # T-35
    ticket_id = changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks

    assert mirror.deliver(webhook) == {"status": "accepted"}
    after = mirror.events(ticket_id)
    mirror.clock.advance(ms=60_000)

    assert mirror.deliver(webhook) == {"status": "duplicate"}
    assert mirror.events(ticket_id) == after
    assert mirror.get(ticket_id)["title"] == "Theirs"


def test_a_webhook_without_an_id_is_known_by_its_body(mirror: Mirror) -> None:
    changed_issue(mirror)
    headers, body = mirror.linear.webhooks[0].sent(SECRETS[0], mirror.clock.now_ms())
    del headers["Linear-Delivery"]

    answers = [mirror.post(headers, body)["status"] for _ in range(2)]

    assert answers == ["accepted", "duplicate"]


def logged(mirror: Mirror, **query: str) -> list[Json]:
    """Return what the ledger shows of deliveries."""
    rows: list[Json] = mirror.client.get("/ledger/deliveries", query).json["items"]
    return rows


def test_a_webhook_is_in_the_delivery_log_once(mirror: Mirror) -> None:  # T-35
    changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks
    before = logged(mirror, workspace_id="w")

    answers = [mirror.deliver(webhook)["status"] for _ in range(2)]

    assert answers == ["accepted", "duplicate"]
    (row,) = [row for row in logged(mirror, workspace_id="w") if row not in before]
    assert row["channel"] == "linear-webhook"
    assert row["dedupe_key"] == f"w:{webhook.delivery}"
    assert (row["req"], row["status"], row["suppressed_count"]) == (None, "recorded", 1)


def test_what_the_ledger_knows_is_not_taken_again(mirror: Mirror) -> None:  # T-35
    changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks
    before = mirror.outcomes()
    with mirror.app.lifecycle.inbox._db.write() as tx:
        now_ms = mirror.clock.now_ms()
        id_ = webhook.delivery
        assert is_first(tx, "linear-webhook", id_, workspace_id="w", now_ms=now_ms)

    assert mirror.deliver(webhook) == {"status": "duplicate"}
    assert mirror.outcomes() == before


def test_a_webhook_that_cannot_be_stored_is_taken_when_it_comes_again(
    mirror: Mirror,
) -> None:
    ticket_id = changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks
    before = logged(mirror, workspace_id="w")

    with renamed(mirror.app.lifecycle.inbox._db, "sync_inbox"):
        mirror.deliver(webhook, status=500)

    assert logged(mirror, workspace_id="w") == before
    assert mirror.deliver(webhook) == {"status": "accepted"}
    assert mirror.get(ticket_id)["title"] == "Theirs"


def test_deliveries_are_there_for_their_own_workspace_only(mirror: Mirror) -> None:
    mirror.mirrored()
    mirror.client.post_json("/ledger/deliveries", {"channel": "c", "dedupe_key": "w:x"})

    shown = {
        workspace: {row["channel"] for row in logged(mirror, **query)}
        for workspace, query in {
            "none": {},
            "w": {"workspace_id": "w"},
            "another": {"workspace_id": "another"},
            "part": {"workspace_id": "W"},
        }.items()
    }

    assert shown.pop("w") == {"c", "linear-webhook"}
    assert all(channels == {"c"} for channels in shown.values())
    mine = mirror.client.get("/ledger/deliveries", headers=mirror.headers).json["items"]
    assert mine == logged(mirror, workspace_id="w")
    two = mirror.client.get(
        "/ledger/deliveries?workspace_id=w", headers={"X-Workspace-Id": "v"}, status=400
    )
    assert two.json["error"]["code"] == "invalid_request"


def test_nobody_but_the_service_writes_what_came_from_linear(mirror: Mirror) -> None:
    changed_issue(mirror)
    (webhook,) = mirror.linear.webhooks
    forged = {"channel": "linear-webhook", "dedupe_key": f"w:{webhook.delivery}"}

    for body in (forged, {**forged, "dry_run": True}):
        answer = mirror.client.post_json("/ledger/deliveries", body, status=403)
        assert answer.json == refused("reserved_channel")
    assert mirror.deliver(webhook) == {"status": "accepted"}
    rows = logged(mirror, workspace_id="w")
    for _ in range(2):
        answer = mirror.client.post(f"/ledger/deliveries/{rows[-1]['id']}/fail", status=403)
        assert answer.json == refused("reserved_channel")

    assert logged(mirror, workspace_id="w") == rows
    assert mirror.deliver(webhook) == {"status": "duplicate"}


def test_deliveries_are_forgotten_with_what_they_brought(mirror: Mirror) -> None:
    mirror.mirrored()
    mirror.client.post_json("/ledger/deliveries", {"channel": "c", "dedupe_key": "k"})
    db, now_ms = mirror.app.lifecycle.inbox._db, mirror.clock.now_ms()
    rows = logged(mirror, workspace_id="w")

    prune(db, rows[0]["delivered_at_ms"] + KEPT_MS)
    assert logged(mirror, workspace_id="w") == rows
    prune(db, now_ms + KEPT_MS + 1)

    assert [row["channel"] for row in logged(mirror, workspace_id="w")] == ["c"]
    assert mirror.outcomes() == []


def test_the_next_secret_signs_as_well(mirror: Mirror) -> None:
    changed_issue(mirror)

    assert mirror.deliver(secret=SECRETS[1]) == {"status": "accepted"}


def test_nothing_is_parsed_that_is_not_signed(mirror: Mirror) -> None:
    assert mirror.post({}, b"{", status=401) == refused("invalid_signature")
    for body in (b"{", b"[]", b"", b'"x"'):
        headers = {"Linear-Signature": sign(body, SECRETS[0])}
        assert mirror.post(headers, body, status=400) == refused("invalid_json")


def test_a_webhook_that_does_not_say_when_is_stale(mirror: Mirror) -> None:
    body = json.dumps({"type": "Issue", "action": "update", "data": {}}).encode()
    headers = {"Linear-Signature": sign(body, SECRETS[0])}

    assert mirror.post(headers, body, status=401) == refused("stale_webhook")
    headers["Linear-Timestamp"] = str(mirror.clock.now_ms())
    assert mirror.post(headers, body) == {"status": "accepted"}


@pytest.mark.parametrize("kind", ["Project", "IssueLabel", "Reaction", None, 7, [], {}])
def test_other_types_are_ignored(mirror: Mirror, kind: object) -> None:
    payload = {"type": kind, "data": {}, "webhookTimestamp": mirror.clock.now_ms()}
    body = json.dumps(payload).encode()

    answer = mirror.post({"Linear-Signature": sign(body, SECRETS[0])}, body)

    assert answer == {"status": "ignored"}


@pytest.mark.parametrize("data", [{}, None, [], {"id": "x"}, {"id": "x", "title": "t"}])
def test_what_cannot_be_an_issue_is_taken_and_left(mirror: Mirror, data: object) -> None:
    payload = {"type": "Issue", "data": data, "webhookTimestamp": mirror.clock.now_ms()}
    body = json.dumps(payload).encode()

    answer = mirror.post({"Linear-Signature": sign(body, SECRETS[0])}, body)

    assert answer == {"status": "accepted"}
    assert mirror.outcomes()[-1] in ("ignored", "unreadable")


@pytest.mark.parametrize("odd", ["a\0b", "x" * 129, "", " x", 7, [], None])
@pytest.mark.parametrize("where", ["id", "issueId", "actor"])
def test_ids_that_are_none_are_taken_and_left(mirror: Mirror, where: str, odd: object) -> None:
    ticket = mirror.mirrored()
    mirror.linear.comment(ticket["sync"]["external_id"], "Said")
    _, sent = mirror.linear.webhooks.pop().sent(SECRETS[0], mirror.clock.now_ms())
    payload = json.loads(sent)
    if where == "actor":
        payload["actor"] = {"id": odd}
    else:
        payload["data"][where] = odd
    body = json.dumps(payload).encode()

    answer = mirror.post({"Linear-Signature": sign(body, SECRETS[0])}, body)

    assert answer == {"status": "accepted"}
    assert mirror.outcomes()[-1] == ("applied" if where == "actor" else "ignored")


def test_a_workspace_without_integration_takes_no_webhooks(mirror: Mirror) -> None:
    mirror.client.delete(LINEAR, status=204)

    answer = mirror.client.post("/webhooks/linear/w", b"{}", status=404)

    assert answer.json == refused("integration_not_configured")
    mirror.client.post("/webhooks/linear/unknown", b"{}", status=404)


def test_a_webhook_has_a_size(mirror: Mirror) -> None:
    body = b" " * ((1 << 20) + 1)

    assert mirror.post({}, body, status=413) == refused("payload_too_large")
    assert mirror.post({}, body[1:], status=401) == refused("invalid_signature")


def test_an_api_token_is_neither_wanted_nor_enough(mirror: Mirror, serve: object) -> None:
    assert callable(serve)
    client = serve(api_token="the-api-token")
    changed_issue(mirror)
    headers, body = mirror.linear.webhooks[0].sent(SECRETS[0], mirror.clock.now_ms())

    unsigned = {"Authorization": "Bearer the-api-token"}
    client.post("/webhooks/linear/w", body, headers=unsigned, status=401)
    answer = client.post("/webhooks/linear/w", body, headers=headers, status=200)

    assert answer.json == {"status": "accepted"}
