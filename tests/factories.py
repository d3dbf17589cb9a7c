"""Things that tests begin with, made through the service itself."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY
from uuid import uuid4

Json = dict[str, Any]

EPOCH_MS = 1_700_000_000_000
NEVER_MS = 9_223_372_036_854_775_000

REVIEW: Json = {
    "initial": "coding",
    "states": {
        "coding": {"agent_role": "coder"},
        "review": {"agent_role": "reviewer"},
        "done": {"terminal": True},
    },
    "transitions": [
        {"from": "coding", "to": "review", "trigger": "submit"},
        {"from": "review", "to": "done", "trigger": "approve"},
        {"from": "review", "to": "coding", "trigger": "reject", "instructions": "Again"},
    ],
}

SIMPLE: Json = {
    "initial": "todo",
    "states": {"todo": {"agent_role": "coder"}, "done": {"terminal": True}},
    "transitions": [{"from": "todo", "to": "done", "trigger": "complete"}],
}


def refused(code: str, details: Any = None) -> Json:
    """Return the body of a refusal; the message is for people and may be any text."""
    shown = {"code": code, "message": ANY}
    return {"error": shown if details is None else {**shown, "details": details}}


def field_refused(field: str, problem: Any = ANY) -> Json:
    """Return the body that refuses one field."""
    return refused("invalid_request", [{"field": field, "problem": problem}])


def task_document(task_id: str, pipeline_id: str, **changed: Any) -> Json:
    """Return a task of SIMPLE as it is answered when new, but for what changed."""
    return {
        "id": task_id,
        "pipeline_id": pipeline_id,
        "stage": "todo",
        "title": "Title",
        "description": "Description",
        "priority": 0,
        "metadata": {},
        "task_version": 1,
        "next_eligible_at_ms": 0,
        "max_attempts": None,
        "retry_delay_ms": 0,
        "dead_letter_stage": None,
        "dead_letter_reason": None,
        "created_at_ms": EPOCH_MS,
        "updated_at_ms": EPOCH_MS,
        "failed_attempts": 0,
        "retry_backoff": None,
        **changed,
    }


def run_document(claim: Json, **changed: Any) -> Json:
    """Return the run of a claim as it is answered while it runs, but for what changed."""
    return {**claim["run"], **changed}


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


class Factory:
    """Makes things over HTTP, so that no test holds what the service could not have made."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def pipeline(self, definition: Json | None = None, **fields: Any) -> str:
        """Create a pipeline, SIMPLE where none is given; return its id."""
        body = {"name": f"p-{uuid4()}", "definition": definition or SIMPLE, **fields}
        return str(self._client.post_json("/pipelines", body, status=201).json["id"])

    def task(self, pipeline_id: str | None = None, **fields: Any) -> str:
        """Create a task; return its id."""
        body = {
            "pipeline_id": pipeline_id or self.pipeline(),
            "title": "Title",
            "description": "Description",
            **fields,
        }
        return str(self._client.post_json("/tasks", body, status=201).json["id"])

    def claim(self, role: str = "coder", agent: str = "a1", **fields: Any) -> Json:
        """Claim a task that is there."""
        body = {"agent_id": agent, "agent_role": role, **fields}
        claim: Json = self._client.post_json("/leases/claim", body, status=200).json
        return claim

    def no_claim(self, role: str = "coder", agent: str = "a1", **fields: Any) -> Any:
        """Claim where there is nothing; return the response."""
        body = {"agent_id": agent, "agent_role": role, **fields}
        return self._client.post_json("/leases/claim", body, status=204)

    def transition(self, claim: Json, trigger: str = "complete", **fields: Any) -> Json:
        """Complete a claimed run."""
        answer: Json = self.on_run(claim, "transition", {"trigger": trigger, **fields}).json
        return answer

    def fail(self, claim: Json, error: str = "broken") -> None:
        """Fail a claimed run."""
        self.on_run(claim, "fail", {"error": error})

    def event(self, claim: Json, kind: str = "step", data: Any = None) -> int:
        """Add an event to a claimed run; return its id."""
        body = {"kind": kind, "data": data}
        return int(self.on_run(claim, "events", body, status=201).json["id"])

    def on_run(self, claim: Json, part: str, body: Json, *, status: int = 200) -> Any:
        """Post to a part of a claimed run, with its token."""
        return self._client.post_json(
            f"/runs/{claim['run']['id']}/{part}",
            body,
            headers=bearer(claim["lease_token"]),
            status=status,
        )

    def heartbeat(self, claim: Json, body: Json | None = None, *, status: int = 200) -> Any:
        """Send a heartbeat."""
        return self._client.post_json(
            f"/leases/{claim['lease_id']}/heartbeat",
            body or {},
            headers=bearer(claim["lease_token"]),
            status=status,
        )

    def finished(self, pipeline_id: str) -> str:
        """Create a task of a SIMPLE pipeline and bring it to its end; return its id."""
        task_id = self.task(pipeline_id, priority=1_000_000)
        claim = self.claim()
        assert claim["task"]["id"] == task_id
        self.transition(claim)
        return task_id
