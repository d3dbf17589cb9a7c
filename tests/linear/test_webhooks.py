from __future__ import annotations

import json

import pytest

from tests.factories import refused
from tests.linear.mirror import LINEAR, SECRETS, Mirror
from tickets.lifecycle.linear.signature import sign


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


@pytest.mark.parametrize("kind", ["Project", "IssueLabel", "Reaction", None, 7])
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
