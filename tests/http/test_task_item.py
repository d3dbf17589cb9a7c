"""``/tasks/{id}``: the task itself, its runs, events, run state, and why it waits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import (
    EPOCH_MS,
    NEVER_MS,
    REVIEW,
    Factory,
    Json,
    field_refused,
    refused,
    run_document,
    task_document,
)


@pytest.fixture
def pipeline_id(make: Factory) -> str:
    return make.pipeline()


@pytest.fixture
def task_id(make: Factory, pipeline_id: str) -> str:
    return make.task(pipeline_id)


class TestGet:
    def test_a_task_that_was_never_claimed_has_no_latest_run(
        self, client: Client, pipeline_id: str, task_id: str
    ) -> None:
        assert client.get(f"/tasks/{task_id}", status=200).json == task_document(
            task_id,
            pipeline_id,
            dependencies=[],
            assignments=[],
            available_transitions=[{"trigger": "complete", "to": "done", "required_gates": []}],
        )

    def test_a_claimed_task_shows_its_run(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        claim = make.claim()

        assert client.get(f"/tasks/{task_id}").json["latest_run"] == run_document(claim)

    def test_the_exits_are_those_of_the_present_stage_in_order(
        self, client: Client, make: Factory
    ) -> None:
        task_id = make.task(make.pipeline(REVIEW))
        make.transition(make.claim(), "submit")

        assert client.get(f"/tasks/{task_id}").json["available_transitions"] == [
            {"trigger": "approve", "to": "done", "required_gates": []},
            {"trigger": "reject", "to": "coding", "required_gates": []},
        ]

    def test_a_stage_without_exits_has_none(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        make.transition(make.claim())

        assert client.get(f"/tasks/{task_id}").json["available_transitions"] == []

    # D-07: the status is derived from the time, nobody has to claim first
    def test_a_run_whose_lease_is_over_reads_as_stale(
        self, client: Client, make: Factory, clock: FrozenClock, task_id: str
    ) -> None:
        claim = make.claim(lease_ttl_ms=100)

        clock.advance(ms=99)
        assert client.get(f"/tasks/{task_id}").json["latest_run"]["status"] == "running"
        clock.advance(ms=1)

        stale = run_document(claim, status="stale", ended_at_ms=EPOCH_MS + 100)
        assert client.get(f"/tasks/{task_id}").json["latest_run"] == stale
        assert client.get(f"/runs/{claim['run']['id']}").json == stale
        assert client.get(f"/tasks/{task_id}/runs").json["items"] == [stale]

    def test_an_unknown_task_is_not_found(self, client: Client) -> None:
        assert client.get("/tasks/nope", status=404).json == refused("not_found")


# D-55: a task can be changed; its version counts stage changes only
class TestPatch:
    def test_what_is_given_changes_and_the_rest_stays(
        self, client: Client, clock: FrozenClock, pipeline_id: str, task_id: str
    ) -> None:
        clock.advance(ms=5)
        changes = {
            "title": "New",
            "priority": 7,
            "metadata": {"k": 1},
            "retry_policy": {"max_attempts": 2, "backoff": {"factor": 3}},
            "expected_task_version": 1,
        }

        response = client.patch_json(f"/tasks/{task_id}", changes, status=200)

        expected = task_document(
            task_id,
            pipeline_id,
            title="New",
            priority=7,
            metadata={"k": 1},
            max_attempts=2,
            retry_backoff={"factor": 3},
            updated_at_ms=EPOCH_MS + 5,
        )
        assert response.json == expected
        assert client.get("/tasks").json["items"] == [expected]

    def test_null_changes_nothing(self, client: Client, pipeline_id: str, task_id: str) -> None:
        nothing = dict.fromkeys(("title", "description", "priority", "metadata"))

        response = client.patch_json(f"/tasks/{task_id}", nothing, status=200)

        assert response.json == task_document(task_id, pipeline_id)

    def test_a_new_priority_counts_at_the_next_claim(
        self, client: Client, make: Factory, pipeline_id: str, task_id: str
    ) -> None:
        later = make.task(pipeline_id)

        client.patch_json(f"/tasks/{later}", {"priority": 1}, status=200)

        assert make.claim()["task"]["id"] == later

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"title": "t" * 1001}, "title"),
            ({"priority": "1"}, "priority"),
            ({"metadata": [1]}, "metadata"),
            ({"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts"),
            ({"retry_policy": {"dead_letter_stage": "x"}}, "retry_policy.dead_letter_stage"),
            ({"expected_task_version": 1.5}, "expected_task_version"),
        ],
    )
    def test_a_change_of_a_wrong_shape_names_the_field(
        self, client: Client, task_id: str, changes: Json, field: str
    ) -> None:
        response = client.patch_json(f"/tasks/{task_id}", changes, status=400)

        assert response.json == field_refused(field)

    def test_a_change_of_another_version_is_refused(self, client: Client, task_id: str) -> None:
        response = client.patch_json(
            f"/tasks/{task_id}", {"title": "x", "expected_task_version": 2}, status=409
        )

        assert response.json == refused(
            "task_version_mismatch", {"stage": "todo", "task_version": 1}
        )
        assert client.get(f"/tasks/{task_id}").json["title"] == "Title"

    def test_an_unknown_task_cannot_be_changed(self, client: Client) -> None:
        assert client.patch_json("/tasks/nope", {}, status=404).json == refused("not_found")


class TestCancel:
    # D-55: a task can be cancelled
    def test_a_cancelled_task_cannot_be_claimed(
        self, client: Client, make: Factory, pipeline_id: str, task_id: str
    ) -> None:
        response = client.post_json(f"/tasks/{task_id}/cancel", {"reason": "no"}, status=200)

        assert response.json == {"status": "cancelled"}
        make.no_claim()
        assert client.get("/tasks").json["items"] == [
            task_document(
                task_id,
                pipeline_id,
                dead_letter_reason="cancelled",
                next_eligible_at_ms=NEVER_MS,
            )
        ]

    @pytest.mark.parametrize("body", [b"", b"{}", b" ", b'{"reason":null}'])
    def test_no_reason_is_needed(self, client: Client, task_id: str, body: bytes) -> None:
        client.post(f"/tasks/{task_id}/cancel", body, status=200)

    def test_cancelling_again_changes_nothing(
        self, client: Client, clock: FrozenClock, task_id: str
    ) -> None:
        client.post(f"/tasks/{task_id}/cancel", status=200)
        before = client.get("/tasks").json
        clock.advance(ms=1)

        response = client.post(f"/tasks/{task_id}/cancel", status=200)

        assert response.json == {"status": "cancelled"}
        assert client.get("/tasks").json == before

    def test_the_agent_of_a_cancelled_task_is_told_410(
        self, client: Client, make: Factory, clock: FrozenClock, task_id: str
    ) -> None:
        claim = make.claim()
        clock.advance(ms=7)

        client.post_json(f"/tasks/{task_id}/cancel", {"reason": "stop"}, status=200)

        why = {"reason": "cancelled"}
        assert make.heartbeat(claim, status=410).json == refused("expired", why)
        gone = make.on_run(claim, "transition", {"trigger": "complete"}, status=410)
        assert gone.json == refused("expired", why)
        assert client.get(f"/runs/{claim['run']['id']}").json == run_document(
            claim, status="cancelled", ended_at_ms=EPOCH_MS + 7, error="stop"
        )

    def test_a_run_that_was_over_before_stays_stale(
        self, client: Client, make: Factory, clock: FrozenClock, task_id: str
    ) -> None:
        claim = make.claim(lease_ttl_ms=100)
        clock.advance(ms=100)

        client.post(f"/tasks/{task_id}/cancel", status=200)

        assert client.get(f"/runs/{claim['run']['id']}").json == run_document(
            claim, status="stale", ended_at_ms=EPOCH_MS + 100
        )
        kinds = [e["kind"] for e in client.get(f"/tasks/{task_id}/events").json["items"]]
        assert kinds == ["lease_expired"]

    def test_a_task_at_its_end_cannot_be_cancelled(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        make.transition(make.claim())

        response = client.post(f"/tasks/{task_id}/cancel", status=409)

        assert response.json == refused("task_terminal")

    def test_an_unknown_task_cannot_be_cancelled(self, client: Client) -> None:
        assert client.post("/tasks/nope/cancel", status=404).json == refused("not_found")

    @pytest.mark.parametrize("reason", [5, ["x"], {}])
    def test_a_reason_is_text(self, client: Client, task_id: str, reason: Any) -> None:
        response = client.post_json(f"/tasks/{task_id}/cancel", {"reason": reason}, status=400)

        assert response.json == field_refused("reason")


# D-09: the dead letter has a way out
class TestRequeue:
    @pytest.fixture
    def dead(self, make: Factory, pipeline_id: str) -> str:
        task_id = make.task(pipeline_id, retry_policy={"max_attempts": 1})
        make.fail(make.claim())
        return task_id

    def test_a_requeued_task_is_as_new_in_its_stage(
        self, client: Client, make: Factory, pipeline_id: str, dead: str
    ) -> None:
        response = client.post(f"/tasks/{dead}/requeue", status=200)

        assert response.json == {"status": "requeued"}
        assert client.get("/tasks").json["items"] == [
            task_document(dead, pipeline_id, max_attempts=1)
        ]
        assert make.claim()["run"]["attempt"] == 2

    def test_a_requeue_into_another_stage_counts_as_a_stage_change(
        self, client: Client, pipeline_id: str, dead: str
    ) -> None:
        client.post_json(f"/tasks/{dead}/requeue", {"stage": "done"}, status=200)

        assert client.get("/tasks").json["items"] == [
            task_document(dead, pipeline_id, stage="done", task_version=2, max_attempts=1)
        ]

    def test_a_cancelled_task_can_be_requeued(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        client.post(f"/tasks/{task_id}/cancel", status=200)

        client.post_json(f"/tasks/{task_id}/requeue", {}, status=200)

        assert make.claim()["task"]["id"] == task_id

    def test_a_task_in_its_dead_letter_stage_goes_back_where_it_failed(
        self, client: Client, make: Factory, pipeline_id: str
    ) -> None:
        policy = {"max_attempts": 1, "dead_letter_stage": "done"}
        task_id = make.task(pipeline_id, retry_policy=policy)
        make.fail(make.claim())

        client.post(f"/tasks/{task_id}/requeue", status=200)

        assert client.get("/tasks").json["items"] == [
            task_document(
                task_id, pipeline_id, task_version=3, max_attempts=1, dead_letter_stage="done"
            )
        ]

    def test_a_task_that_is_not_dead_cannot_be_requeued(
        self, client: Client, task_id: str
    ) -> None:
        response = client.post(f"/tasks/{task_id}/requeue", status=409)

        assert response.json == refused("not_dead_lettered")

    def test_a_requeue_into_an_unknown_stage_is_refused(
        self, client: Client, dead: str
    ) -> None:
        response = client.post_json(f"/tasks/{dead}/requeue", {"stage": "x"}, status=400)

        assert response.json == field_refused("stage")

    def test_a_task_that_a_triage_agent_holds_waits_for_it(
        self, client: Client, make: Factory, clock: FrozenClock
    ) -> None:
        triage = make.pipeline(
            {
                "initial": "todo",
                "states": {
                    "todo": {"agent_role": "coder"},
                    "triage": {"agent_role": "medic"},
                    "done": {"terminal": True},
                },
                "transitions": [
                    {"from": "todo", "to": "done", "trigger": "complete"},
                    {"from": "triage", "to": "todo", "trigger": "again"},
                ],
            }
        )
        policy = {"max_attempts": 1, "dead_letter_stage": "triage"}
        task_id = make.task(triage, retry_policy=policy)
        make.fail(make.claim())
        make.claim("medic", lease_ttl_ms=100)

        response = client.post(f"/tasks/{task_id}/requeue", status=409)
        assert response.json == refused("task_leased")
        clock.advance(ms=100)

        client.post(f"/tasks/{task_id}/requeue", status=200)
        assert make.claim()["task"]["id"] == task_id

    def test_an_unknown_task_cannot_be_requeued(self, client: Client) -> None:
        assert client.post("/tasks/nope/requeue", status=404).json == refused("not_found")


# D-15: earlier runs, their usage and errors can be read
class TestRuns:
    def test_the_runs_of_a_task_are_read_by_attempt(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        first = make.claim()
        make.on_run(first, "fail", {"error": "broken", "usage": {"tokens": 5}})
        second = make.claim()

        assert client.get(f"/tasks/{task_id}/runs", status=200).json == {
            "items": [
                run_document(
                    first,
                    status="failed",
                    ended_at_ms=EPOCH_MS,
                    usage={"tokens": 5},
                    error="broken",
                ),
                run_document(second),
            ],
            "next_cursor": None,
        }

    def test_a_walk_over_runs_sees_each_once(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        for _ in range(3):
            make.fail(make.claim())

        first = client.get(f"/tasks/{task_id}/runs?limit=2").json
        last = client.get(f"/tasks/{task_id}/runs?limit=2&cursor={first['next_cursor']}").json

        assert [run["attempt"] for run in first["items"] + last["items"]] == [1, 2, 3]
        assert last["next_cursor"] is None

    def test_the_runs_of_an_unknown_task_are_not_found(self, client: Client) -> None:
        assert client.get("/tasks/nope/runs", status=404).json == refused("not_found")


class TestEvents:
    def test_the_events_of_all_runs_are_read_by_id(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        first = make.claim()
        step = make.event(first, "step", {"n": 1})
        make.fail(first)
        second = make.claim()
        again = make.event(second, "step", {"n": 2})

        events = client.get(f"/tasks/{task_id}/events", status=200).json["items"]

        assert [(e["run_id"], e["kind"]) for e in events] == [
            (first["run"]["id"], "step"),
            (first["run"]["id"], "retry_scheduled"),
            (second["run"]["id"], "step"),
        ]
        assert [e["id"] for e in events] == sorted(e["id"] for e in events)
        assert {step, again} < {e["id"] for e in events}

    def test_a_walk_over_events_sees_each_once(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        claim = make.claim()
        ids = [make.event(claim) for _ in range(5)]
        seen: list[int] = []

        cursor = ""
        while True:
            page = client.get(f"/tasks/{task_id}/events?limit=2{cursor}").json
            seen += [event["id"] for event in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"

        assert seen == ids

    def test_the_events_of_an_unknown_task_are_not_found(self, client: Client) -> None:
        assert client.get("/tasks/nope/events", status=404).json == refused("not_found")


# D-14: the orchestrator's run can be written, and unknown tasks are told apart
class TestRunState:
    def test_a_run_state_is_read_back_as_it_was_written(
        self, client: Client, task_id: str
    ) -> None:
        written = {"run_id": 'r"1', "workflow_state": {"step": 2, "seen": [1.5, None]}}

        response = client.put_json(f"/tasks/{task_id}/run-state", written, status=200)

        assert response.json == {"status": "updated"}
        assert client.get(f"/tasks/{task_id}/run-state", status=200).json == written

    def test_a_run_state_without_a_workflow_state_shows_null(
        self, client: Client, task_id: str
    ) -> None:
        client.put_json(f"/tasks/{task_id}/run-state", {"run_id": "r"}, status=200)

        assert client.get(f"/tasks/{task_id}/run-state").json == {
            "run_id": "r",
            "workflow_state": None,
        }

    def test_an_empty_document_clears_it(self, client: Client, task_id: str) -> None:
        client.put_json(f"/tasks/{task_id}/run-state", {"run_id": "r"}, status=200)
        client.put_json(f"/tasks/{task_id}/run-state", {}, status=200)

        response = client.get(f"/tasks/{task_id}/run-state", status=404)

        assert response.json == refused("not_found")

    def test_an_unknown_task_is_told_apart_from_a_task_without_a_run(
        self, client: Client, task_id: str
    ) -> None:
        unknown = client.get("/tasks/nope/run-state", status=404)
        without = client.get(f"/tasks/{task_id}/run-state", status=404)
        refusal = client.put_json("/tasks/nope/run-state", {"run_id": "r"}, status=404)

        assert unknown.json == refusal.json == refused("task_not_found")
        assert without.json == refused("not_found")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"run_id": 5}, "run_id"),
            ({"run_id": "r" * 513}, "run_id"),
            ({"run_id": "é" * 257}, "run_id"),
            ({"workflow_state": {}}, "workflow_state"),
        ],
    )
    def test_a_run_state_of_a_wrong_shape_names_the_field(
        self, client: Client, task_id: str, body: Json, field: str
    ) -> None:
        response = client.put_json(f"/tasks/{task_id}/run-state", body, status=400)

        assert response.json == field_refused(field)


class TestWhy:
    def why(self, client: Client, task_id: str, agent_id: str | None = None) -> Json:
        query = "" if agent_id is None else f"?agent_id={agent_id}"
        answer: Json = client.get(f"/tasks/{task_id}/why{query}", status=200).json
        assert answer["claimable"] == (answer["reasons"] == [])
        return answer

    def test_a_claimable_task_has_no_reason_against_it(
        self, client: Client, task_id: str
    ) -> None:
        assert self.why(client, task_id) == {"claimable": True, "reasons": []}

    def test_a_leased_task_names_its_holder_and_the_end(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        claim = make.claim(agent="a9", lease_ttl_ms=100)

        assert self.why(client, task_id)["reasons"] == [
            {
                "code": "leased",
                "run_id": claim["run"]["id"],
                "agent_id": "a9",
                "until_ms": EPOCH_MS + 100,
            }
        ]

    def test_a_delayed_task_names_the_moment(
        self, client: Client, make: Factory, clock: FrozenClock, pipeline_id: str
    ) -> None:
        task_id = make.task(pipeline_id, retry_policy={"retry_delay_ms": 50})
        make.fail(make.claim())

        delayed = [{"code": "delayed", "until_ms": EPOCH_MS + 50}]
        clock.advance(ms=49)
        assert self.why(client, task_id)["reasons"] == delayed
        clock.advance(ms=1)
        assert self.why(client, task_id)["claimable"]

    def test_all_reasons_are_told_at_once(
        self, client: Client, make: Factory, pipeline_id: str, task_id: str
    ) -> None:
        blocked = make.task(
            pipeline_id, dependencies=[task_id], assigned_agent_id="a1", priority=1
        )
        client.post(f"/tasks/{blocked}/cancel", status=200)

        assert self.why(client, blocked)["reasons"] == [
            {"code": "dead_lettered", "reason": "cancelled"},
            {"code": "blocked_by", "task_ids": [task_id]},
            {"code": "assigned", "agent_id": "a1"},
        ]
        assert self.why(client, blocked, "a1")["reasons"][-1]["code"] == "blocked_by"

    def test_an_end_and_a_stage_for_people_are_told_apart(
        self, client: Client, make: Factory, task_id: str
    ) -> None:
        make.transition(make.claim())
        manual = make.pipeline(
            {
                "initial": "wait",
                "states": {"wait": {}, "done": {"terminal": True}},
                "transitions": [{"from": "wait", "to": "done", "trigger": "t"}],
            }
        )

        assert self.why(client, task_id)["reasons"] == [{"code": "terminal_stage"}]
        assert self.why(client, make.task(manual))["reasons"] == [{"code": "no_role"}]

    def test_nobody_knows_why_of_an_unknown_task(self, client: Client) -> None:
        assert client.get("/tasks/nope/why", status=404).json == refused("not_found")
