"""``Idempotency-Key``: a repeated write takes effect once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.conftest import API_TOKEN, Client, FrozenClock
from tests.factories import Factory, Json, bearer, refused
from tests.worlds import dump
from tickets.db.database import Database
from tickets.web import idempotency

DAY_MS = 86_400_000


def key(value: str = "k", **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": value, **headers}


@pytest.fixture
def body(make: Factory) -> Json:
    return {"pipeline_id": make.pipeline(), "title": "t", "description": "d"}


def count(client: Client) -> int:
    return len(client.get("/tasks").json["items"])


def test_a_repeated_write_is_answered_again_and_done_once(client: Client, body: Json) -> None:
    first = client.post_json("/tasks", body, headers=key(), status=201)

    again = client.post_json("/tasks", body, headers=key(), status=201)

    assert again.body == first.body
    assert count(client) == 1


def test_an_answer_comes_again_with_its_version_and_its_place(
    client: Client, make: Factory
) -> None:
    client.post_json("/workspaces", {"id": "w", "name": "w"}, status=201)
    headers, path = key(**{"X-Workspace-Id": "w"}), "/tickets"
    first = client.post_json(path, {"title": "t"}, headers=headers, status=201)
    ticket = f"/tickets/{first.json['id']}"
    client.patch_json(ticket, {"title": "u"}, headers={"X-Workspace-Id": "w"}, status=200)

    again = client.post_json(path, {"title": "t"}, headers=headers, status=201)

    assert again.body == first.body
    for answer in (first, again):
        assert (answer.headers["ETag"], answer.headers["Location"]) == ('"1"', ticket)
    # An answer that had neither has none again.
    body = {"pipeline_id": make.pipeline(), "title": "t", "description": "d"}
    for _ in range(2):
        answer = client.post_json("/tasks", body, headers=key(), status=201)
        assert "ETag" not in answer.headers


def test_an_entry_that_is_put_again_has_the_version_of_the_first_time(client: Client) -> None:
    tags = []
    for name, value in (("a", 1), ("b", 2), ("a", 1)):
        answer = client.put_json("/store/n/k", {"value": value}, headers=key(name))
        tags.append(answer.headers["ETag"])

    assert tags == ['"1"', '"2"', '"1"']


def test_the_keys_of_two_workspaces_are_apart(client: Client) -> None:
    for workspace_id in ("v", "w"):
        client.post_json("/workspaces", {"id": workspace_id, "name": "n"}, status=201)
    v, w = (key(**{"X-Workspace-Id": each}) for each in ("v", "w"))

    in_v = client.post_json("/tickets", {"title": "t"}, headers=v, status=201)
    in_w = client.post_json("/tickets", {"title": "t"}, headers=w, status=201)
    by_query = client.post_json(
        "/tickets?workspace_id=w", {"title": "t"}, headers=key(), status=201
    )
    both = client.post_json("/tickets?workspace_id=v", {"title": "t"}, headers=w, status=400)

    assert len({each.json["id"] for each in (in_v, in_w, by_query)}) == 3
    assert both.json == refused("workspace_mismatch")
    for headers, first in ((v, in_v), (w, in_w)):
        again = client.post_json("/tickets", {"title": "t"}, headers=headers, status=201)
        assert again.body == first.body


def test_a_key_with_another_actor_is_refused(client: Client) -> None:
    client.post_json("/workspaces", {"id": "w", "name": "w"}, status=201)
    headers = key(**{"X-Workspace-Id": "w", "X-Actor": "user:ann"})
    first = client.post_json("/tickets", {"title": "t"}, headers=headers, status=201)

    assert client.post_json("/tickets", {"title": "t"}, headers=headers).body == first.body
    for other in ({"X-Actor": "user:bob"}, {}):
        changed = key(**{"X-Workspace-Id": "w", **other})
        answer = client.post_json("/tickets", {"title": "t"}, headers=changed, status=409)
        assert answer.json == refused("idempotency_conflict")


def test_without_a_key_a_write_is_done_twice(client: Client, body: Json) -> None:
    client.post_json("/tasks", body, status=201)
    client.post_json("/tasks", body, status=201)

    assert count(client) == 2


def test_a_key_with_another_body_is_refused_down_to_white_space(
    client: Client, body: Json
) -> None:
    client.post("/pipelines", b'{"name":"p","definition":1}', headers=key(), status=400)
    raw = b'{"pipeline_id":"%s","title":"t","description":"d"}' % body["pipeline_id"].encode()
    client.post("/tasks", raw, headers=key(), status=201)

    response = client.post("/tasks", raw + b" ", headers=key(), status=409)

    assert response.json == refused("idempotency_conflict")
    assert count(client) == 1


# D-39: one route, however it is spelled
@pytest.mark.parametrize("path", ["/tasks/", "//tasks//", "/%74asks", "/tasks?x=1"])
def test_the_same_path_spelled_otherwise_is_the_same_request(
    client: Client, body: Json, path: str
) -> None:
    first = client.post_json("/tasks", body, headers=key(), status=201)

    again = client.post_json(path, body, headers=key(), status=201)

    assert again.json == first.json


def test_another_path_or_method_is_another_request(client: Client, make: Factory) -> None:
    first, second = make.task(), make.task()

    client.post_json(f"/tasks/{first}/cancel", {}, headers=key(), status=200)
    client.post_json(f"/tasks/{second}/cancel", {}, headers=key(), status=200)
    client.put_json("/store/n/a", {"value": 1}, headers=key(), status=204)
    client.delete("/store/n/a", headers=key(), status=204)

    assert client.get("/store/n", status=200).json == []


def test_an_encoded_slash_is_not_a_slash(client: Client) -> None:
    client.put_json("/store/a/b%2Fc", {"value": 1}, headers=key(), status=204)
    client.put_json("/store/a/b/c", {"value": 1}, headers=key(), status=404)


@pytest.mark.parametrize("value", ["", " ", "x" * 512, "trailing "])
def test_any_value_up_to_512_bytes_is_a_key(client: Client, body: Json, value: str) -> None:
    first = client.post_json("/tasks", body, headers=key(value), status=201)

    assert client.post_json("/tasks", body, headers=key(value)).json == first.json
    assert client.post_json("/tasks", body, headers=key("other")).json != first.json


def test_a_key_of_513_bytes_is_refused(client: Client, body: Json) -> None:
    response = client.post_json("/tasks", body, headers=key("x" * 513), status=400)

    assert response.json["error"]["details"][0]["field"] == "Idempotency-Key"
    assert count(client) == 0


# D-38: refusals are not kept
class TestRefusals:
    def test_a_refused_request_can_be_mended_under_its_key(
        self, client: Client, body: Json
    ) -> None:
        client.post_json("/tasks", {**body, "title": 5}, headers=key(), status=400)
        client.post_json("/tasks", {**body, "pipeline_id": "x"}, headers=key(), status=404)

        client.post_json("/tasks", body, headers=key(), status=201)

    def test_a_wrong_token_does_not_poison_the_key(self, client: Client, make: Factory) -> None:
        make.task()
        claim = make.claim()
        path, event = f"/runs/{claim['run']['id']}/events", {"kind": "step"}

        client.post_json(path, event, headers=key(**bearer("0" * 64)), status=401)

        client.post_json(path, event, headers=key(**bearer(claim["lease_token"])), status=201)

    def test_an_unassign_that_found_nothing_is_tried_again(
        self, client: Client, make: Factory
    ) -> None:
        task_id = make.task()
        path = f"/tasks/{task_id}/assignments/a1"
        client.delete(path, headers=key(), status=404)
        client.post_json(f"/tasks/{task_id}/assignments", {"agent_id": "a1"}, status=201)

        client.delete(path, headers=key(), status=200)

    def test_a_claim_that_found_nothing_is_tried_again(
        self, client: Client, make: Factory
    ) -> None:
        claim = {"agent_id": "a1", "agent_role": "coder"}
        client.post_json("/leases/claim", claim, headers=key(), status=204)
        make.task()

        client.post_json("/leases/claim", claim, headers=key(), status=200)


class TestClaims:
    BODY: ClassVar = {"agent_id": "a1", "agent_role": "coder"}

    def claim(self, client: Client, *, status: int = 200, **fields: Any) -> Json:
        body = {**self.BODY, **fields}
        response = client.post_json("/leases/claim", body, headers=key(), status=status)
        answer: Json = response.json
        return answer

    # D-37: the token in a lost answer was never stored, so a fresh one takes its place
    def test_a_repeated_claim_gets_the_same_lease_with_a_fresh_token(
        self, client: Client, make: Factory, db: Database
    ) -> None:
        make.task()
        first = self.claim(client)

        again = self.claim(client)

        assert again["lease_token"] != first["lease_token"]
        assert {**again, "lease_token": None} == {**first, "lease_token": None}
        make.heartbeat(first, status=401)
        make.heartbeat(again, status=200)

    def test_a_claim_that_nobody_waits_for_any_more_takes_no_token_away(
        self, client: Client, make: Factory
    ) -> None:
        # The client gave up, asked again under the same key, and that was answered first.
        make.task()
        present = self.claim(client)
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            environ = {"gunicorn.socket": ours}
            body = self.BODY
            client.post_json(
                "/leases/claim", body, headers=key(), extra_environ=environ, status=409
            )

        make.heartbeat(present, status=200)

    def test_a_repeated_claim_shows_the_present_end_of_the_lease(
        self, client: Client, make: Factory
    ) -> None:
        make.task()
        first = self.claim(client, lease_ttl_ms=1_000)
        make.heartbeat(first, {"lease_ttl_ms": 5_000})

        again = self.claim(client, lease_ttl_ms=1_000)

        assert again["expires_at_ms"] == first["expires_at_ms"] + 4_000

    # D-37: no token lies in the database
    def test_no_token_is_stored(self, client: Client, make: Factory, db: Database) -> None:
        make.task()
        tokens = [self.claim(client)["lease_token"], self.claim(client)["lease_token"]]

        rows = "\n".join(dump(db))

        assert tokens[0] != tokens[1]
        for token in tokens:
            assert token not in rows

    def test_a_repeated_claim_whose_lease_is_over_is_refused(
        self, client: Client, make: Factory, clock: FrozenClock
    ) -> None:
        make.task()
        self.claim(client, lease_ttl_ms=100)
        clock.advance(ms=100)

        again = self.claim(client, lease_ttl_ms=100, status=409)

        assert again == refused("idempotency_conflict")

    def test_a_repeated_claim_whose_run_has_ended_is_refused(
        self, client: Client, make: Factory
    ) -> None:
        make.task()
        make.transition(self.claim(client))

        assert self.claim(client, status=409) == refused("idempotency_conflict")

    def test_a_repeated_claim_of_many_shows_those_that_still_run(
        self, client: Client, make: Factory
    ) -> None:
        pipeline_id = make.pipeline()
        for _ in range(3):
            make.task(pipeline_id)
        first = self.claim(client, max_tasks=3)["claims"]
        make.transition(first[1])

        again = self.claim(client, max_tasks=3)["claims"]

        assert [c["lease_id"] for c in again] == [first[0]["lease_id"], first[2]["lease_id"]]
        for claim in again:
            make.heartbeat(claim, status=200)


class TestOnALease:
    def test_a_repeat_is_answered_after_the_lease_has_gone(
        self, client: Client, make: Factory
    ) -> None:
        make.task()
        claim = make.claim()
        headers = key(**bearer(claim["lease_token"]))
        path, end = f"/runs/{claim['run']['id']}/transition", {"trigger": "complete"}
        first = client.post_json(path, end, headers=headers, status=200)

        again = client.post_json(path, end, headers=headers, status=200)

        assert again.body == first.body

    # D-37: who has not the token gets nothing out of the key
    @pytest.mark.parametrize("headers", [{}, bearer("0" * 64), bearer("x")])
    def test_a_repeat_needs_the_same_token(
        self, client: Client, make: Factory, headers: dict[str, str]
    ) -> None:
        make.task()
        claim = make.claim()
        path, event = f"/runs/{claim['run']['id']}/events", {"kind": "step"}
        client.post_json(path, event, headers=key(**bearer(claim["lease_token"])), status=201)

        response = client.post_json(path, event, headers=key(**headers), status=401)

        assert response.json == refused("unauthorized")

    # D-37: callers have keys of their own
    def test_the_keys_of_operator_and_holder_are_apart(
        self, secured: Client, make: Factory
    ) -> None:
        make.task()
        claim = make.claim()
        path, event = f"/runs/{claim['run']['id']}/events", {"kind": "step"}

        ids = [
            secured.post_json(path, event, headers=key(**bearer(token)), status=201).json["id"]
            for token in (claim["lease_token"], API_TOKEN, claim["lease_token"])
        ]

        assert ids[0] == ids[2] != ids[1]

    def test_a_repeated_heartbeat_extends_nothing(
        self, client: Client, make: Factory, clock: FrozenClock
    ) -> None:
        make.task()
        claim = make.claim()
        path = f"/leases/{claim['lease_id']}/heartbeat"
        headers = key(**bearer(claim["lease_token"]))
        first = client.post(path, headers=headers, status=200)
        clock.advance(ms=10)

        assert client.post(path, headers=headers, status=200).body == first.body


# D-40: keys end after their retention
class TestRetention:
    def test_a_key_is_known_until_its_last_millisecond(
        self, client: Client, clock: FrozenClock, body: Json
    ) -> None:
        first = client.post_json("/tasks", body, headers=key(), status=201).json

        clock.advance(ms=DAY_MS - 1)
        assert client.post_json("/tasks", body, headers=key()).json == first
        clock.advance(ms=1)
        assert client.post_json("/tasks", body, headers=key()).json != first

    def test_the_retention_is_a_setting(
        self, serve: Callable[..., Client], clock: FrozenClock, body: Json
    ) -> None:
        brief = serve(idempotency_retention_ms=1_000)
        first = brief.post_json("/tasks", body, headers=key(), status=201).json
        clock.advance(ms=1_000)

        assert brief.post_json("/tasks", body, headers=key()).json != first

    # D-40: work and record are one transaction
    def test_a_write_that_fails_leaves_neither_work_nor_record(
        self, client: Client, db: Database, body: Json, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: object) -> None:
            raise RuntimeError("as if the process died here")

        with monkeypatch.context() as patch:
            patch.setattr(idempotency, "_record", fail)
            client.post_json("/tasks", body, headers=key(), status=500)
        assert count(client) == 0

        client.post_json("/tasks", body, headers=key(), status=201)
        assert count(client) == 1
