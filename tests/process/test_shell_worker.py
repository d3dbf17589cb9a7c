"""Clients that were written for nullTickets: they work here as they are."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import REVIEW, SIMPLE, Json
from tests.process.clients import Client, eventually, tickets
from tests.process.serving import START_S, Server, environment
from tests.process.stand_ins import tools

API_TOKEN = "the-api-token"

# One round after the other until there is no work: an empty answer says so. The artifact is
# sent without a token, whatever the server wants.
SHELL_WORKER = r"""
base=http://127.0.0.1:$PORT
post() { # PATH BODY [TOKEN]
    if [ $# -gt 2 ]; then
        curl -s -X POST "$base$1" -H "Content-Type: application/json" \
            -H "Authorization: Bearer $3" -d "$2"
    else
        curl -s -X POST "$base$1" -H "Content-Type: application/json" -d "$2"
    fi
}
while :; do
    answer=$(post /leases/claim '{"agent_id":"sh","agent_role":"coder","lease_ttl_ms":300000}' \
        $API_TOKEN)
    [ -n "$answer" ] || exit 0
    get() { echo "$answer" | jq -r "$1"; }
    run=$(get .run.id) task=$(get .task.id) lease=$(get .lease_token)
    title=$(get .task.title)
    post "/runs/$run/events" '{"kind":"step","data":{"title":"'"$title"'"}}' "$lease"
    post /artifacts '{"task_id":"'"$task"'","run_id":"'"$run"'","kind":"log","uri":"file:///l"}'
    if [ "$(get .task.description)" = good ]; then
        post "/runs/$run/transition" '{"trigger":"complete"}' "$lease"
    else
        post "/runs/$run/fail" '{"error":"could not"}' "$lease"
    fi
done
"""


@pytest.mark.parametrize("api_token", ["", API_TOKEN], ids=["open", "with an API token"])
def test_a_shell_loop_works_until_the_answer_is_empty(tmp_path: Path, api_token: str) -> None:
    secret = {"TICKETS_TOKEN": api_token} if api_token else {}
    with (
        tickets(tmp_path, "--workers", "1", **secret) as server,
        Client(server, token=api_token or None) as client,
    ):
        pipeline_id = client.pipeline(SIMPLE)
        good = [client.task(pipeline_id, f"t{n}", description="good") for n in range(3)]
        policy = {"max_attempts": 2}
        bad = client.task(pipeline_id, "bad", description="bad", retry_policy=policy)

        variables = environment(tmp_path, PORT=str(server.port), API_TOKEN=api_token)
        variables["PATH"] = f"{tools(tmp_path / 'bin')}:{variables['PATH']}"
        result = subprocess.run(
            ["sh", "-u"],
            input=SHELL_WORKER,
            env=variables,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

        assert (result.returncode, result.stderr) == (0, "")
        for number, task_id in enumerate(good):
            task = client.get(f"/tasks/{task_id}")
            assert task["stage"] == "done"
            events = client.get(f"/runs/{task['latest_run']['id']}/events")["items"]
            assert events[0]["data"] == {"title": f"t{number}"}
        task = client.get(f"/tasks/{bad}")
        assert (task["latest_run"]["attempt"], task["latest_run"]["error"]) == (2, "could not")
        assert task["dead_letter_reason"] == "max_attempts_exceeded"
        # Refused or not, the artifact does not stop the worker.
        expected = 0 if api_token else len(good) + 2
        assert len(client.get("/artifacts")["items"]) == expected


class Puller:
    """A client as nullBoiler's pull mode is one.

    It appends paths to a base URL that ends in a slash, writes header names in lower case,
    sends one bearer token, and reads certain keys as integers.
    """

    AGENT = "nullboiler"

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(server.host, server.port, timeout=START_S)

    def request(self, method: str, path: str, body: Any, *, token: str) -> tuple[int, Any]:
        data = b"" if body is None else json.dumps(body).encode()
        self._connection.putrequest(
            method, "/" + path, skip_host=True, skip_accept_encoding=True
        )
        self._connection.putheader("host", "127.0.0.1")
        self._connection.putheader("Authorization", f"Bearer {token}")
        self._connection.putheader("connection", "keep-alive")
        self._connection.putheader("accept-encoding", "gzip, deflate")
        self._connection.putheader("content-type", "application/json")
        self._connection.putheader("content-length", str(len(data)))
        self._connection.endheaders(data)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.getheader("content-encoding") is None
        return response.status, json.loads(answer) if answer else None

    def claim(self, role: str, *, lease_ttl_ms: int = 60_000) -> Json | None:
        wanted = {"agent_id": self.AGENT, "agent_role": role, "lease_ttl_ms": lease_ttl_ms}
        status, claim = self.request("POST", "/leases/claim", wanted, token=API_TOKEN)
        if status == 204:
            assert claim is None
            return None
        assert status == 200
        task, run = claim["task"], claim["run"]
        for key in ("id", "title", "description", "stage", "pipeline_id"):
            assert isinstance(task[key], str)
        assert isinstance(task["metadata"], dict)
        for number in (task["priority"], task["task_version"], run["attempt"]):
            assert type(number) is int
        assert type(claim["expires_at_ms"]) is int
        for text in (run["id"], claim["lease_id"], claim["lease_token"]):
            assert isinstance(text, str)
        granted: Json = claim
        return granted

    def task(self, claim: Json) -> Json:
        status, task = self.request(
            "GET", f"/tasks/{claim['task']['id']}", None, token=API_TOKEN
        )
        assert status == 200
        details: Json = task
        return details

    def heartbeat(self, claim: Json) -> int:
        status, answer = self.request(
            "POST", f"/leases/{claim['lease_id']}/heartbeat", {}, token=claim["lease_token"]
        )
        assert status == 200
        assert type(answer["expires_at_ms"]) is int
        expires_at_ms: int = answer["expires_at_ms"]
        return expires_at_ms

    def on_run(self, claim: Json, part: str, body: Json) -> int:
        path = f"/runs/{claim['run']['id']}/{part}"
        return self.request("POST", path, body, token=claim["lease_token"])[0]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("puller")
    with tickets(home, "--workers", "2", TICKETS_TOKEN=API_TOKEN) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def operator(server: Server) -> Iterator[Client]:
    with Client(server, token=API_TOKEN) as client:
        yield client


@pytest.fixture
def puller(server: Server) -> Iterator[Puller]:
    puller = Puller(server)
    yield puller
    puller.close()


@pytest.fixture
def role(operator: Client, request: pytest.FixtureRequest) -> str:
    """Return a role that has one task to do, of a pipeline of its own."""
    name: str = request.node.name
    states = {**REVIEW["states"], "coding": {"agent_role": name}}
    pipeline_id = operator.pipeline({**REVIEW, "states": states}, name)
    operator.task(pipeline_id, name, metadata={"lang": "py"}, retry_policy={"max_attempts": 2})
    return name


def test_a_puller_takes_a_task_through_its_turns(puller: Puller, role: str) -> None:
    claim = puller.claim(role)
    assert claim is not None
    assert puller.claim(role) is None
    assert claim["task"]["metadata"] == {"lang": "py"}

    puller.on_run(claim, "events", {"kind": "agent_started", "data": {"port": 9_000}})
    task = claim["task"]
    for turn in (1, 2):
        # Its turns may last minutes, so a heartbeat gives more than the ttl that it asked for.
        assert puller.heartbeat(claim) >= claim["expires_at_ms"] + 200_000  # D-04
        assert puller.on_run(claim, "events", {"kind": "turn", "data": {"turn": turn}}) == 201
        task = puller.task(claim)
        assert task["stage"] == claim["task"]["stage"]
        assert task["pipeline_id"] == claim["task"]["pipeline_id"]
    (only,) = task["available_transitions"]
    body = {
        "trigger": only["trigger"],
        "expected_stage": claim["task"]["stage"],
        "expected_task_version": task["task_version"],
        "usage": {"tokens": 5},
    }

    assert puller.on_run(claim, "transition", body) == 200
    assert puller.task(claim)["stage"] == "review"


def test_a_puller_that_is_refused_fails_the_run_with_the_same_token(
    puller: Puller, role: str
) -> None:
    claim = puller.claim(role)
    assert claim is not None
    refused = {"trigger": "submit", "expected_stage": "coding", "expected_task_version": 7}

    assert puller.on_run(claim, "transition", refused) == 409
    assert puller.on_run(claim, "fail", {"error": "refused", "usage": {"tokens": 5}}) == 200

    task = puller.task(claim)
    assert task["latest_run"]["status"] == "failed"
    assert task["task_version"] == claim["task"]["task_version"]
    again = puller.claim(role)
    assert again is not None
    assert again["run"]["attempt"] == 2


# D-06
def test_claims_that_a_puller_drops_come_back_and_cost_nothing(
    puller: Puller, role: str
) -> None:
    claims = [eventually(lambda: puller.claim(role, lease_ttl_ms=50)) for _ in range(4)]

    claim = claims[-1]
    assert [claim["run"]["attempt"] for claim in claims] == [1, 2, 3, 4]
    eventually(lambda: puller.task(claim)["latest_run"]["status"] == "stale")
    task = puller.task(claim)
    assert (task["failed_attempts"], task["dead_letter_reason"]) == (0, None)


def test_a_puller_sees_that_somebody_else_moved_its_task(
    puller: Puller, operator: Client, role: str
) -> None:
    claim = puller.claim(role)
    assert claim is not None

    # The operator's token may act on any lease.
    operator.post(f"/runs/{claim['run']['id']}/transition", {"trigger": "submit"})

    assert puller.task(claim)["stage"] == "review"
    assert puller.on_run(claim, "transition", {"trigger": "submit"}) == 404
