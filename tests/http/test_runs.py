"""``/runs/{id}``: how a run is read, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import (
    EPOCH_MS,
    NEVER_MS,
    REVIEW,
    SIMPLE,
    Factory,
    Json,
    bearer,
    field_refused,
    refused,
    run_document,
    task_document,
)

GATED: Json = {
    **SIMPLE,
    "transitions": [
        {"from": "todo", "to": "done", "trigger": "complete", "required_gates": ["g1", "g2"]}
    ],
}
ENDS = {
    "transition": {"trigger": "complete"},
    "fail": {"error": "broken"},
    "release": {"reason": "busy"},
}
NO_TOKEN_OF_OURS = "0" * 64


@pytest.fixture
def pipeline_id(make: Factory) -> str:
    return make.pipeline()


@pytest.fixture
def claim(make: Factory, pipeline_id: str) -> Json:
    make.task(pipeline_id)
    return make.claim()


def last_event(client: Client, claim: Json) -> Json:
    events = client.get(f"/runs/{claim['run']['id']}/events").json["items"]
    return {key: events[-1][key] for key in ("run_id", "ts_ms", "kind", "data")}


def event_of(claim: Json, kind: str, data: Json, *, ts_ms: int = EPOCH_MS) -> Json:
    return {"run_id": claim["run"]["id"], "ts_ms": ts_ms, "kind": kind, "data": data}


def test_a_run_is_read_by_its_id(client: Client, claim: Json) -> None:
    response = client.get(f"/runs/{claim['run']['id']}", status=200)

    assert response.json == run_document(claim)


def test_an_unknown_run_is_not_found(client: Client) -> None:
    assert client.get("/runs/nope", status=404).json == refused("not_found")


class TestTransition:
    def test_a_transition_completes_the_run_and_moves_the_task(
        self, client: Client, make: Factory, clock: FrozenClock, pipeline_id: str, claim: Json
    ) -> None:
        clock.advance(ms=5)

        answer = make.transition(claim, usage={"tokens": 3})

        assert answer == {
            "previous_stage": "todo",
            "new_stage": "done",
            "trigger": "complete",
        }
        assert client.get("/tasks").json["items"] == [
            task_document(
                claim["task"]["id"],
                pipeline_id,
                stage="done",
                task_version=2,
                updated_at_ms=EPOCH_MS + 5,
            )
        ]
        assert client.get(f"/runs/{claim['run']['id']}").json == run_document(
            claim, status="completed", ended_at_ms=EPOCH_MS + 5, usage={"tokens": 3}
        )

    @pytest.mark.parametrize(
        ("given", "trigger", "expected"),
        [
            ({"instructions": "Mine"}, "reject", "Mine"),
            ({"instructions": ""}, "reject", ""),
            ({"instructions": None}, "reject", "Again"),
            ({}, "reject", "Again"),
            ({}, "approve", ""),
        ],
    )
    def test_the_event_tells_the_way_and_the_instructions(
        self, client: Client, make: Factory, given: Json, trigger: str, expected: str
    ) -> None:
        make.task(make.pipeline(REVIEW))
        make.transition(make.claim(), "submit")
        claim = make.claim("reviewer")

        to = make.transition(claim, trigger, **given)["new_stage"]

        data = {"trigger": trigger, "from": "review", "to": to, "instructions": expected}
        assert last_event(client, claim) == event_of(claim, "transition", data)

    def test_a_self_loop_is_a_stage_change(self, make: Factory) -> None:
        loop = {**SIMPLE, "transitions": [*SIMPLE["transitions"]]}
        loop["transitions"].append({"from": "todo", "to": "todo", "trigger": "again"})
        make.task(make.pipeline(loop))

        make.transition(make.claim(), "again")

        claim = make.claim()
        assert (claim["task"]["task_version"], claim["run"]["attempt"]) == (2, 2)

    def test_expectations_that_hold_are_fine(self, make: Factory, claim: Json) -> None:
        make.transition(claim, expected_stage="todo", expected_task_version=1)

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"trigger": "nope"}, 400, "invalid_transition"),
            (
                {"trigger": "nope", "expected_stage": "x", "expected_task_version": 9},
                409,
                "expected_stage_mismatch",
            ),
            (
                {"trigger": "nope", "expected_stage": "todo", "expected_task_version": 9},
                409,
                "task_version_mismatch",
            ),
        ],
    )
    def test_a_refusal_changes_nothing(
        self, client: Client, make: Factory, claim: Json, body: Json, status: int, code: str
    ) -> None:
        before = client.get("/tasks").json

        response = make.on_run(claim, "transition", body, status=status)

        assert response.json["error"]["code"] == code
        assert client.get("/tasks").json == before
        assert client.get(f"/runs/{claim['run']['id']}/events").json["items"] == []
        make.heartbeat(claim, status=200)
        make.transition(claim)

    @pytest.mark.parametrize(
        ("expected", "code"),
        [
            ({"expected_stage": "x"}, "expected_stage_mismatch"),
            ({"expected_task_version": 9}, "task_version_mismatch"),
        ],
    )
    def test_whoever_expected_something_else_is_told_what_is(
        self, make: Factory, claim: Json, expected: Json, code: str
    ) -> None:
        body = {"trigger": "complete", **expected}

        response = make.on_run(claim, "transition", body, status=409)

        assert response.json == refused(code, {"stage": "todo", "task_version": 1})

    def test_an_unknown_trigger_is_told_the_known_ones(
        self, make: Factory, claim: Json
    ) -> None:
        response = make.on_run(claim, "transition", {"trigger": "nope"}, status=400)

        assert response.json == refused(
            "invalid_transition",
            {"stage": "todo", "trigger": "nope", "available_triggers": ["complete"]},
        )

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"trigger": None}, "trigger"),
            ({"trigger": 5}, "trigger"),
            # D-23: usage is an object
            ({"usage": [1]}, "usage"),
            ({"usage": "x"}, "usage"),
            ({"instructions": 5}, "instructions"),
            ({"expected_stage": 5}, "expected_stage"),
            # D-24: an integer, not a string
            ({"expected_task_version": "1"}, "expected_task_version"),
        ],
    )
    def test_a_transition_of_a_wrong_shape_names_the_field(
        self, make: Factory, claim: Json, changed: Json, field: str
    ) -> None:
        body = {"trigger": "complete", **changed}

        response = make.on_run(claim, "transition", body, status=400)

        assert response.json == field_refused(field)
        make.transition(claim)


class TestGatesOfATransition:
    @pytest.fixture
    def begun(self, make: Factory) -> Callable[..., Json]:
        def start(**definition: Any) -> Json:
            make.task(make.pipeline({**GATED, **definition}))
            return make.claim()

        return start

    def report(self, make: Factory, claim: Json, gate: str, status: str) -> None:
        make.on_run(claim, "gates", {"gate": gate, "status": status}, status=201)

    def test_the_newest_result_of_each_gate_decides(
        self, client: Client, make: Factory, begun: Callable[..., Json]
    ) -> None:
        claim = begun()
        steps = [("g1", "pass", ["g2"]), ("g2", "pass", None), ("g2", "fail", ["g2"])]
        for gate, status, missing in steps:
            self.report(make, claim, gate, status)
            if missing is not None:
                response = make.on_run(claim, "transition", ENDS["transition"], status=409)
                details = [{"field": each, "problem": ANY} for each in missing]
                assert response.json == refused("required_gates_not_passed", details)
        self.report(make, claim, "g2", "pass")

        make.transition(claim)

    def test_gates_of_an_earlier_run_do_not_count(
        self, make: Factory, begun: Callable[..., Json]
    ) -> None:
        claim = begun()
        self.report(make, claim, "g1", "pass")
        self.report(make, claim, "g2", "pass")
        make.fail(claim)

        response = make.on_run(make.claim(), "transition", ENDS["transition"], status=409)

        assert response.json["error"]["code"] == "required_gates_not_passed"

    def test_a_pipeline_that_informs_lets_pass(
        self, make: Factory, begun: Callable[..., Json]
    ) -> None:
        make.transition(begun(gates="inform"))

    def test_the_server_decides_for_pipelines_that_do_not_say(
        self, serve: Callable[..., Client], begun: Callable[..., Json]
    ) -> None:
        lenient = Factory(serve(gates="inform"))
        silent, strict = begun(), begun(gates="enforce")

        lenient.transition(silent)
        lenient.on_run(strict, "transition", ENDS["transition"], status=409)


class TestFail:
    def test_a_failure_ends_the_run_and_schedules_a_retry(
        self, client: Client, make: Factory, clock: FrozenClock, pipeline_id: str
    ) -> None:
        task_id = make.task(
            pipeline_id, retry_policy={"max_attempts": 2, "retry_delay_ms": 400}
        )
        claim = make.claim()
        clock.advance(ms=5)

        response = make.on_run(claim, "fail", {"error": "", "usage": {"t": 1}})

        assert response.json == {"status": "failed"}
        # D-15: error and usage can be read
        assert client.get(f"/runs/{claim['run']['id']}").json == run_document(
            claim, status="failed", ended_at_ms=EPOCH_MS + 5, usage={"t": 1}, error=""
        )
        assert client.get("/tasks").json["items"] == [
            task_document(
                task_id,
                pipeline_id,
                max_attempts=2,
                retry_delay_ms=400,
                next_eligible_at_ms=EPOCH_MS + 405,
                updated_at_ms=EPOCH_MS + 5,
                failed_attempts=1,
            )
        ]
        data = {
            "reason": "retry_scheduled",
            "failed_attempts": 1,
            "retry_delay_ms": 400,
            "next_eligible_at_ms": EPOCH_MS + 405,
        }
        expected = event_of(claim, "retry_scheduled", data, ts_ms=EPOCH_MS + 5)
        assert last_event(client, claim) == expected

    def test_a_retry_is_claimable_at_its_exact_moment(
        self, make: Factory, clock: FrozenClock
    ) -> None:
        make.task(retry_policy={"retry_delay_ms": 400})
        make.fail(make.claim())

        clock.advance(ms=399)
        make.no_claim()
        clock.advance(ms=1)
        make.claim()

    def test_the_last_failure_puts_the_task_into_the_dead_letter(
        self, client: Client, make: Factory, pipeline_id: str
    ) -> None:
        task_id = make.task(pipeline_id, retry_policy={"max_attempts": 1})
        claim = make.claim()

        make.fail(claim)

        make.no_claim()
        assert client.get("/tasks").json["items"] == [
            task_document(
                task_id,
                pipeline_id,
                max_attempts=1,
                dead_letter_reason="max_attempts_exceeded",
                next_eligible_at_ms=NEVER_MS,
                failed_attempts=1,
            )
        ]
        data = {
            "reason": "max_attempts_exceeded",
            "failed_attempts": 1,
            "from_stage": "todo",
            "dead_letter_stage": None,
        }
        assert last_event(client, claim) == event_of(claim, "dead_letter", data)

    # D-10: the budget is of the present stage
    def test_failures_of_earlier_stages_do_not_count(
        self, client: Client, make: Factory
    ) -> None:
        task_id = make.task(make.pipeline(REVIEW), retry_policy={"max_attempts": 2})
        make.fail(make.claim())
        assert client.get(f"/tasks/{task_id}").json["failed_attempts"] == 1
        make.transition(make.claim(), "submit")
        assert client.get(f"/tasks/{task_id}").json["failed_attempts"] == 0

        make.fail(make.claim("reviewer"))
        make.fail(make.claim("reviewer"))

        make.no_claim("reviewer")
        reason = client.get(f"/tasks/{task_id}").json["dead_letter_reason"]
        assert reason == "max_attempts_exceeded"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "error"),
            ({"error": None}, "error"),
            ({"error": 5}, "error"),
            ({"error": "x", "usage": 5}, "usage"),
        ],
    )
    def test_a_failure_of_a_wrong_shape_names_the_field(
        self, make: Factory, claim: Json, body: Json, field: str
    ) -> None:
        response = make.on_run(claim, "fail", body, status=400)

        assert response.json == field_refused(field)


class TestRelease:
    def test_a_released_task_is_claimable_again_and_nothing_is_charged(
        self, client: Client, make: Factory, pipeline_id: str
    ) -> None:
        policy = {"max_attempts": 1, "retry_delay_ms": 1_000}
        task_id = make.task(pipeline_id, retry_policy=policy)
        claim = make.claim()

        response = make.on_run(claim, "release", {"reason": "busy"})

        assert response.json == {"status": "released"}
        assert client.get(f"/runs/{claim['run']['id']}").json == run_document(
            claim, status="released", ended_at_ms=EPOCH_MS
        )
        assert client.get("/tasks").json["items"] == [
            task_document(task_id, pipeline_id, max_attempts=1, retry_delay_ms=1_000)
        ]
        assert last_event(client, claim) == event_of(claim, "released", {"reason": "busy"})
        assert make.claim()["run"]["attempt"] == 2

    @pytest.mark.parametrize("body", [b"", b"  ", b"{}"])
    def test_no_reason_is_needed(self, client: Client, claim: Json, body: bytes) -> None:
        client.post(
            f"/runs/{claim['run']['id']}/release",
            body,
            headers=bearer(claim["lease_token"]),
            status=200,
        )

        assert last_event(client, claim) == event_of(claim, "released", {"reason": None})

    def test_a_reason_is_text(self, make: Factory, claim: Json) -> None:
        response = make.on_run(claim, "release", {"reason": 5}, status=400)

        assert response.json == field_refused("reason")


@pytest.mark.parametrize("part", ENDS)
class TestEveryEnd:
    def test_a_run_ends_once(self, make: Factory, claim: Json, part: str) -> None:
        make.on_run(claim, part, ENDS[part])

        for again, body in ENDS.items():
            response = make.on_run(claim, again, body, status=404)
            assert response.json == refused("not_found")

    def test_the_last_millisecond_is_in_time(
        self, make: Factory, clock: FrozenClock, claim: Json, part: str
    ) -> None:
        clock.advance(ms=299_999)

        make.on_run(claim, part, ENDS[part])

    def test_the_exact_expiry_is_too_late(
        self, make: Factory, clock: FrozenClock, claim: Json, part: str
    ) -> None:
        clock.advance(ms=300_000)

        assert make.on_run(claim, part, ENDS[part], status=410).json == refused("expired")

    # the body is looked at last: a lost lease is told before a missing field
    def test_the_lease_is_looked_at_before_the_body(
        self, client: Client, clock: FrozenClock, claim: Json, part: str
    ) -> None:
        path = f"/runs/{claim['run']['id']}/{part}"

        def post(path: str, token: str | None, status: int) -> Json:
            headers = {} if token is None else bearer(token)
            answer: Json = client.post(path, b"{bad", headers=headers, status=status).json
            return answer

        assert post(path, None, 401) == refused("unauthorized")
        assert post(f"/runs/nope/{part}", "zz", 401) == refused("unauthorized")
        assert post(f"/runs/nope/{part}", NO_TOKEN_OF_OURS, 404) == refused("not_found")
        assert post(path, NO_TOKEN_OF_OURS, 401) == refused("unauthorized")
        assert post(path, claim["lease_token"], 400) == refused("invalid_json")
        clock.advance(ms=300_000)
        assert post(path, NO_TOKEN_OF_OURS, 401) == refused("unauthorized")
        assert post(path, claim["lease_token"], 410) == refused("expired")


def test_a_clock_that_was_set_back_ends_no_run_before_it_began(
    client: Client, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    claim = make.claim()
    clock.advance(ms=-5_000)

    make.transition(claim)

    run = client.get(f"/runs/{claim['run']['id']}", status=200).json
    assert run["ended_at_ms"] == run["started_at_ms"]
