"""Who may do what, with and without an API token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import API_TOKEN, Client, FrozenClock
from tests.factories import Factory, Json, bearer, refused

WRONG = "0" * 64
MALFORMED = ("", "x", "zz" * 32, "0" * 62, "0" * 63, "0" * 65, "0" * 66)
LEASE_PARTS: dict[str, Json] = {
    "events": {"kind": "step"},
    "gates": {"gate": "g", "status": "pass"},
    "transition": {"trigger": "complete"},
    "fail": {"error": "x"},
    "release": {},
}
PUBLIC = ("/health", "/ready", "/openapi.json", "/.well-known/openapi.json", "/docs")
API = (
    ("GET", "/tasks"),
    ("POST", "/tasks"),
    ("POST", "/leases/claim"),
    ("GET", "/pipelines"),
    ("GET", "/ops/queue"),
    ("GET", "/changes"),
    ("GET", "/metrics"),
    ("GET", "/store/ns"),
    ("PUT", "/store/ns/k"),
    ("POST", "/v1/traces"),
    ("GET", "/traces"),
    ("DELETE", "/tasks/x/assignments/a"),
    ("PATCH", "/tasks/x"),
)


@pytest.fixture
def claim(make: Factory) -> Json:
    """Return a claim made on the open server; the secured one has the same database."""
    make.task()
    return make.claim()


def run_path(claim: Json, part: str) -> str:
    return f"/runs/{claim['run']['id']}/{part}"


@pytest.mark.parametrize("path", [*PUBLIC, "/health/", "//openapi.json"])
def test_public_paths_are_open(secured: Client, path: str) -> None:
    secured.get(path, status=200)


@pytest.mark.parametrize("path", ["/health/x", "/nope", "/", "/openapi.json/x"])
def test_unknown_paths_are_hidden_from_strangers(secured: Client, path: str) -> None:
    response = secured.get(path, status=401)

    assert response.json == refused("unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert secured.get(path, headers=bearer(API_TOKEN), status=404).json == refused("not_found")


@pytest.mark.parametrize(("method", "path"), API)
def test_everything_else_wants_the_api_token(
    secured: Client, claim: Json, method: str, path: str
) -> None:
    for headers in ({}, bearer("wrong"), bearer(WRONG), bearer(claim["lease_token"])):
        response = secured.request(path, method=method, headers=headers, status=401)
        assert response.json == refused("unauthorized")


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {API_TOKEN} ",
        f"Bearer\t{API_TOKEN}",
        f"Bearer{API_TOKEN}",
        f"Basic {API_TOKEN}",
        API_TOKEN,
        "Bearer",
        "Bearer ",
    ],
)
def test_what_is_not_the_scheme_and_the_token_is_refused(secured: Client, header: str) -> None:
    secured.get("/tasks", headers={"Authorization": header}, status=401)


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "bEaReR ", "Bearer  ", "  Bearer "])
def test_the_scheme_is_read_in_any_case_and_blanks_around_it_are_skipped(
    secured: Client, scheme: str
) -> None:
    secured.get("/tasks", headers={"authorization": f"{scheme}{API_TOKEN}"}, status=200)
    secured.get("/tasks", headers={"authorization": f"{scheme}{API_TOKEN}x"}, status=401)


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
def test_a_lease_token_is_found_behind_any_spelling_of_the_scheme(
    secured: Client, claim: Json, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme}{claim['lease_token']}"}

    secured.post(f"/leases/{claim['lease_id']}/heartbeat", headers=headers, status=200)


def test_without_an_api_token_everything_but_leases_is_open(client: Client) -> None:
    client.get("/tasks", status=200)
    client.get("/tasks", headers=bearer("anything"), status=200)


# D-36: the operator may act on leases
@pytest.mark.parametrize("part", LEASE_PARTS)
def test_the_api_token_acts_on_a_run(secured: Client, claim: Json, part: str) -> None:
    status = 201 if part in ("events", "gates") else 200

    secured.post_json(
        run_path(claim, part), LEASE_PARTS[part], headers=bearer(API_TOKEN), status=status
    )


# D-36: the operator may act on leases
def test_the_api_token_keeps_a_lease_alive(secured: Client, claim: Json) -> None:
    path = f"/leases/{claim['lease_id']}/heartbeat"

    secured.post(path, headers=bearer(API_TOKEN), status=200)


# D-36: where no API token is configured, nobody is the operator
@pytest.mark.parametrize("part", LEASE_PARTS)
def test_without_an_api_token_a_run_still_wants_its_own(
    client: Client, claim: Json, part: str
) -> None:
    path = run_path(claim, part)

    for headers in ({}, bearer(WRONG)):
        response = client.post_json(path, LEASE_PARTS[part], headers=headers, status=401)
        assert response.json == refused("unauthorized")


# D-41: exactly 64 hex characters
@pytest.mark.parametrize("token", MALFORMED)
@pytest.mark.parametrize("is_secured", [False, True])
def test_a_malformed_token_is_refused_also_for_an_unknown_lease(
    client: Client, secured: Client, claim: Json, token: str, is_secured: bool
) -> None:
    caller = secured if is_secured else client

    for path in (
        f"/leases/{claim['lease_id']}/heartbeat",
        "/leases/nope/heartbeat",
        "/runs/nope/fail",
    ):
        response = caller.post(path, headers=bearer(token), status=401)
        assert response.json == refused("unauthorized")


# D-41: a token that lacks a byte is not the token
def test_a_token_cut_by_one_byte_is_refused(client: Client, claim: Json) -> None:
    path = f"/leases/{claim['lease_id']}/heartbeat"

    client.post(path, headers=bearer(claim["lease_token"][:62]), status=401)
    client.post(path, headers=bearer(claim["lease_token"]), status=200)


def test_lease_paths_work_with_the_lease_token_alone(secured: Client, claim: Json) -> None:
    headers = bearer(claim["lease_token"])

    secured.post(f"/leases/{claim['lease_id']}/heartbeat", headers=headers, status=200)
    for part in ("events", "gates"):
        secured.post_json(run_path(claim, part), LEASE_PARTS[part], headers=headers, status=201)
    secured.post_json(
        run_path(claim, "transition"), LEASE_PARTS["transition"], headers=headers, status=200
    )


def test_one_lease_token_does_not_act_on_another_run(secured: Client, make: Factory) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id)
    make.task(pipeline_id)
    mine, other = make.claim(), make.claim()

    response = secured.post_json(
        run_path(other, "fail"),
        LEASE_PARTS["fail"],
        headers=bearer(mine["lease_token"]),
        status=401,
    )

    assert response.json == refused("unauthorized")


def own_reads(claim: Json) -> list[str]:
    run_id, task_id = claim["run"]["id"], claim["task"]["id"]
    return [
        f"/runs/{run_id}",
        f"/runs/{run_id}/events",
        f"/runs/{run_id}/gates",
        f"/tasks/{task_id}",
        f"/tasks/{task_id}/runs",
        f"/tasks/{task_id}/events",
        f"/tasks/{task_id}/why",
        f"/tasks/{task_id}/dependencies",
        f"/tasks/{task_id}/assignments",
        f"/artifacts?run_id={run_id}",
    ]


class TestReads:
    # D-36: a lease token opens what belongs to its run
    def test_a_live_lease_token_reads_its_own_run_and_task(
        self, secured: Client, claim: Json
    ) -> None:
        for path in own_reads(claim):
            secured.get(path, headers=bearer(claim["lease_token"]), status=200)

    # D-35: no other bearer value does
    def test_no_other_bearer_value_reads_them(self, secured: Client, claim: Json) -> None:
        for path in own_reads(claim):
            for headers in ({}, bearer("garbage"), bearer(""), bearer(WRONG)):
                response = secured.get(path, headers=headers, status=401)
                assert response.json == refused("unauthorized")
            secured.get(path, headers=bearer(API_TOKEN), status=200)

    # D-35: nor does the token once its lease is over
    def test_a_lease_that_is_over_reads_nothing(
        self, secured: Client, clock: FrozenClock, claim: Json
    ) -> None:
        clock.advance(ms=300_000)

        for path in own_reads(claim):
            secured.get(path, headers=bearer(claim["lease_token"]), status=401)

    def test_a_lease_token_reads_no_other_run_or_task(
        self, secured: Client, make: Factory
    ) -> None:
        pipeline_id = make.pipeline()
        make.task(pipeline_id)
        make.task(pipeline_id)
        mine, other = make.claim(), make.claim()

        for path in [*own_reads(other), "/artifacts", "/runs/nope", "/tasks/nope"]:
            secured.get(path, headers=bearer(mine["lease_token"]), status=401)

    def test_without_an_api_token_any_token_reads_everything(
        self, client: Client, claim: Json
    ) -> None:
        for path in own_reads(claim):
            client.get(path, headers=bearer(WRONG), status=200)


class TestArtifacts:
    # D-36: a lease holder posts the artifacts of its run
    def test_a_lease_token_posts_artifacts_of_its_own_run(
        self, secured: Client, claim: Json
    ) -> None:
        body = {"run_id": claim["run"]["id"], "kind": "log", "uri": "x"}

        secured.post_json("/artifacts", body, headers=bearer(claim["lease_token"]), status=201)

    @pytest.mark.parametrize("owner", [{}, {"run_id": "nope"}])
    def test_a_lease_token_posts_no_other_artifacts(
        self, secured: Client, claim: Json, owner: Json
    ) -> None:
        body = {"kind": "log", "uri": "x", **owner}

        response = secured.post_json(
            "/artifacts", body, headers=bearer(claim["lease_token"]), status=401
        )

        assert response.json == refused("unauthorized")

    def test_a_lease_that_is_over_posts_none(
        self, secured: Client, clock: FrozenClock, claim: Json
    ) -> None:
        body = {"run_id": claim["run"]["id"], "kind": "log", "uri": "x"}
        clock.advance(ms=300_000)

        secured.post_json("/artifacts", body, headers=bearer(claim["lease_token"]), status=401)


# D-64: whoever has the API token may name any agent; assignments bind the others only
def test_the_api_token_speaks_for_any_agent(secured: Client, make: Factory) -> None:
    task_id = make.task(assigned_agent_id="a2")
    body = {"agent_id": "a2", "agent_role": "coder"}

    claim = secured.post_json("/leases/claim", body, headers=bearer(API_TOKEN), status=200)

    assert claim.json["task"]["id"] == task_id


def test_a_wrong_method_on_a_lease_path_is_told_to_token_holders(
    secured: Client, claim: Json
) -> None:
    path = run_path(claim, "fail")

    secured.get(path, status=401)
    secured.get(path, headers=bearer(claim["lease_token"]), status=405)


def test_no_answer_shows_a_token(secured: Client, claim: Json) -> None:
    def texts() -> list[Any]:
        paths = [*own_reads(claim), "/changes", "/tasks"]
        return [secured.get(path, headers=bearer(API_TOKEN)).text for path in paths]

    assert not any(claim["lease_token"] in text or API_TOKEN in text for text in texts())
