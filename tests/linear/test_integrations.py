from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from tests.conftest import Client
from tests.factories import refused
from tests.linear.mirror import LINEAR, SECRETS, Mirror
from tests.process.serving import eventually
from tests.worlds import dump


def test_what_is_shown_of_an_integration(mirror: Mirror) -> None:
    shown = mirror.client.get(LINEAR).json

    assert shown["api_key"] == {"set": True, "last4": mirror.linear.key[-4:]}
    assert shown["webhook_secrets"] == [{"set": True, "last4": s[-4:]} for s in SECRETS]
    assert (shown["status"], shown["enabled"]) == ("ok", True)
    assert shown["queue"] == {"pending": 0, "inflight": 0, "dead": 0}
    assert mirror.connect(enabled=False)["status"] == "disabled"
    short = mirror.connect(api_key="short")
    assert short["api_key"] == {"set": True, "last4": None}


@pytest.mark.parametrize(
    "changed",
    [
        {"api_key": ""},
        {"api_key": "with blank "},
        {"api_key": "line\n"},
        {"webhook_secrets": []},
        {"webhook_secrets": ["a", "b", "c"]},
        {"auth_kind": "password"},
        {"status_map": {"nothing": "x"}},
        {"replay_window_ms": 0},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_an_integration(mirror: Mirror, changed: dict[str, Any]) -> None:
    assert mirror.connect(status=400, **changed)["error"]["code"] == "invalid_request"


def test_all_that_is_missing_is_named_at_once(mirror: Mirror) -> None:
    answer = mirror.client.put_json(LINEAR, {"enabled": False}, status=400)

    missing = ("auth_kind", "api_key", "team_id", "webhook_secrets")
    problems = [{"field": field, "problem": "is required"} for field in missing]
    assert answer.json == refused("invalid_request", problems)
    assert all(f"{field}: is required" in answer.json["error"]["message"] for field in missing)


def test_a_team_belongs_to_one_workspace(mirror: Mirror) -> None:
    mirror.client.post_json("/workspaces", {"id": "v", "name": "V"}, status=201)
    body = {
        "enabled": True,
        "auth_kind": "api_key",
        "api_key": "k",
        "team_id": mirror.linear.team_id,
        "webhook_secrets": ["s"],
    }
    path = "/workspaces/v/integrations/linear"

    answer = mirror.client.put_json(path, body, status=409)

    assert answer.json == refused("team_already_bound")
    mirror.client.delete(LINEAR, status=204)
    mirror.client.put_json(path, body, status=201)


def test_without_an_integration_nothing_is_mirrored(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.patch(ticket["id"], title="Unsent")
    mirror.client.delete(LINEAR, status=204)

    for method, path in (("get", ""), ("delete", ""), ("post", "/verify"), ("get", "/outbox")):
        answer = getattr(mirror.client, method)(LINEAR + path, status=404)
        assert answer.json == refused("integration_not_configured")
    assert mirror.get(ticket["id"])["sync"]["state"] == "detached"
    body = {"title": "t", "provider": "linear"}
    answer = mirror.client.post_json("/tickets", body, headers=mirror.headers, status=409)
    assert answer.json == refused("integration_not_configured")
    local = mirror.client.post_json("/tickets", {"title": "t"}, headers=mirror.headers).json
    assert local["sync"] is None
    path = f"/tickets/{local['id']}/sync"
    assert mirror.client.get(path, headers=mirror.headers, status=409).json == refused(
        "not_synced"
    )
    mirror.push()


def test_verify_says_what_linear_says(mirror: Mirror) -> None:
    answer = mirror.client.post(f"{LINEAR}/verify", status=200).json

    assert (answer["ok"], answer["team_name"]) == (True, "Engineering")
    assert answer["viewer_id"] == mirror.linear.viewer_id
    assert {state["name"]: state["status"] for state in answer["states"]} == {
        "Triage": "open",
        "Backlog": "open",
        "Todo": "open",
        "In Progress": "in_progress",
        "In Review": "in_progress",
        "Blocked": "blocked",
        "Done": "done",
        "Canceled": "cancelled",
        "Duplicate": "cancelled",
    }


def test_key_and_secrets_stay_where_they_are(
    mirror: Mirror, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ticket = mirror.mirrored()
    mirror.connect(api_key="lin_api_a_wrong_one")
    mirror.patch(ticket["id"], title="New")
    mirror.push()
    mirror.client.post(f"{LINEAR}/verify", status=502)

    seen = [
        client.get(path, headers=mirror.headers, expect_errors=True).text
        for path in (
            LINEAR,
            f"{LINEAR}/outbox",
            f"/tickets/{ticket['id']}",
            f"/tickets/{ticket['id']}/sync",
            f"/tickets/{ticket['id']}/events",
            "/metrics",
            "/changes",
        )
    ]
    rows = [
        row
        for row in dump(mirror.app.lifecycle.inbox._db)
        if not row.startswith("integrations_linear ")
    ]
    hidden = re.compile("|".join(["lin_api_a_wrong_one", mirror.linear.key, *SECRETS]))

    assert [text for text in [*seen, *rows, caplog.text] if hidden.search(text)] == []


def test_the_worker_does_all_of_it_by_itself(mirror: Mirror) -> None:
    ticket = mirror.create()
    mirror.app.sync_worker.start()
    try:
        assert eventually(lambda: mirror.get(ticket["id"])["sync"]["state"] == "synced")
        mirror.clock.advance(ms=10)
        mirror.linear.edit(ticket["sync"]["external_id"], title="Theirs")
        mirror.client.post(f"{LINEAR}/reconcile", status=202)
        assert eventually(lambda: mirror.get(ticket["id"])["title"] == "Theirs")
    finally:
        mirror.app.sync_worker.stop()
        thread = mirror.app.sync_worker._thread
        assert thread is not None
        thread.join(10)
