"""A walk through the whole service: one exchange for each operation, in an order that works."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tickets.app import Application
from tickets.lifecycle.linear.signature import sign
from tickets.lifecycle.linear.transport import Answer

NOW_MS = 1_700_000_000_000

_FIELD = re.compile(r"\{(\w+)\}")

PIPELINE = {
    "name": "review",
    "definition": {
        "initial": "coding",
        "states": {
            "coding": {"agent_role": "coder"},
            "review": {"agent_role": "reviewer"},
            "done": {"terminal": True},
        },
        "transitions": [
            {
                "from": "coding",
                "to": "review",
                "trigger": "submit",
                "required_gates": ["tests"],
            },
            {"from": "review", "to": "done", "trigger": "approve"},
            {"from": "review", "to": "coding", "trigger": "reject"},
        ],
    },
}
SPANS = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "name": "compile",
                            "startTimeUnixNano": "1700000000000000000",
                            "attributes": [
                                {
                                    "key": "nulltickets.run_id",
                                    "value": {"stringValue": "{run}"},
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    ]
}


class Frozen:
    """A clock that stands still."""

    def now_ms(self) -> int:
        """Return the one moment of this page."""
        return NOW_MS


class Step(NamedTuple):
    """One exchange: where, with what, under which token, and what to keep of the answer."""

    method: str
    template: str
    target: str
    body: Any = None
    token_of: str = ""
    keep: Mapping[str, str] = MappingProxyType({})
    signed_with: str = ""


def linear(_url: str, _headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer in the place of Linear whatever its answer is the same for everybody."""
    states = [{"id": "started", "name": "In Progress", "type": "started", "position": 1}]
    data = {
        "viewer": {"id": "robot"},
        "team": {"id": "engineering", "name": "Engineering", "states": {"nodes": states}},
    }
    asked = "viewer" if b"query Viewer" in body else "team"
    return Answer(200, {}, json.dumps({"data": {asked: data[asked]}}).encode())


def claim(agent: str, keep: str = "", **fields: Any) -> Step:
    """Return a step that claims for the coder's role."""
    body = {"agent_id": agent, "agent_role": "coder", **fields}
    names = {f"run{keep}": "run.id", f"token{keep}": "lease_token", f"lease{keep}": "lease_id"}
    return Step("POST", "/leases/claim", "/leases/claim", body, keep=names)


def task(title: str, keep: str, **fields: Any) -> Step:
    """Return a step that creates a task."""
    body = {"pipeline_id": "{pipeline}", "title": title, "description": "", **fields}
    return Step("POST", "/tasks", "/tasks", body, keep={keep: "id"})


def on_run(part: str, body: Any, run: str = "") -> Step:
    """Return a step that posts to a part of the claimed run."""
    target = f"/runs/{{run{run}}}/{part}"
    return Step("POST", f"/runs/{{run_id}}/{part}", target, body, token_of=f"token{run}")


def on_task(method: str, part: str, body: Any = None, name: str = "task") -> Step:
    """Return a step on a task."""
    suffix = f"/{part}" if part else ""
    path = part.split("?", maxsplit=1)[0]
    template = "/tasks/{task_id}" + (f"/{path}" if path else "")
    return Step(method, template, f"/tasks/{{{name}}}{suffix}", body)


LEDGER_EVENT = {
    "state": "RECEIVED",
    "actor": "importer",
    "source": "nightly",
    "req": "import 7/a",
}
LEDGER_EVENTS = [
    {**LEDGER_EVENT, "state": "RUNNING", "stage": "reading", "data": {"rows": 12}},
    {**LEDGER_EVENT, "req": "import 8"},
]
LEDGER_TASK = "/ledger/tasks/import%207%2Fa"


def on_ticket(method: str, part: str = "", body: Any = None, name: str = "ticket") -> Step:
    """Return a step on a ticket of the workspace."""
    suffix = f"/{part}" if part else ""
    template = "/tickets/{ticket_id}" + suffix
    return Step(method, template, f"/tickets/{{{name}}}{suffix}?workspace_id=team", body)


def ticket(keep: str, **fields: Any) -> Step:
    """Return a step that creates a ticket."""
    return Step("POST", "/tickets", "/tickets?workspace_id=team", fields, keep={keep: "id"})


TICKETS = [
    Step("POST", "/workspaces", "/workspaces", {"id": "team", "name": "The team"}),
    Step("GET", "/workspaces", "/workspaces"),
    Step("GET", "/workspaces/{workspace_id}", "/workspaces/team"),
    Step("PATCH", "/workspaces/{workspace_id}", "/workspaces/team", {"name": "Our team"}),
    Step(
        "PUT",
        "/workspaces/{workspace_id}/agents/{agent_id}",
        "/workspaces/team/agents/agent-1",
        {"role": "coder", "max_active_tickets": 2},
    ),
    Step(
        "PUT",
        "/workspaces/{workspace_id}/agents/{agent_id}",
        "/workspaces/team/agents/agent-2",
        {"role": "designer"},
    ),
    Step(
        "GET",
        "/workspaces/{workspace_id}/agents/{agent_id}",
        "/workspaces/team/agents/agent-1",
    ),
    Step("GET", "/workspaces/{workspace_id}/agents", "/workspaces/team/agents"),
    ticket("ticket", title="Mend the feed", labels=["bug"], priority="high"),
    on_ticket("GET"),
    on_ticket("PATCH", body={"description": "Since Tuesday", "expected_version": 1}),
    Step(
        "PUT",
        "/workspaces/{workspace_id}/teams/{team_id}",
        "/workspaces/team/teams/coders",
        {"name": "Coders", "agent_ids": ["agent-1"]},
    ),
    Step(
        "GET",
        "/workspaces/{workspace_id}/teams/{team_id}",
        "/workspaces/team/teams/coders",
    ),
    Step("GET", "/workspaces/{workspace_id}/teams", "/workspaces/team/teams"),
    Step(
        "DELETE",
        "/workspaces/{workspace_id}/teams/{team_id}",
        "/workspaces/team/teams/coders",
    ),
    Step("GET", "/tickets", "/tickets?workspace_id=team&label=bug&q=feed&limit=1"),
    ticket("other", title="Show the feed"),
    on_ticket("POST", "assign", {"agent_id": "agent-1"}, "other"),
    on_ticket("POST", "dispatch", name="other"),
    on_ticket("GET", "dispatches", name="other"),
    on_ticket(
        "POST",
        "delegate",
        {
            "delegated_by_agent_id": "agent-1",
            "agent_id": "agent-2",
            "child": {"title": "Draw the feed"},
        },
        "other",
    ),
    on_ticket("POST", "transition", {"to": "blocked", "reason": "Which feed?"}, "other"),
    on_ticket("POST", "unassign", name="other"),
    on_ticket("POST", "labels", {"labels": ["ui"]}),
    Step(
        "DELETE",
        "/tickets/{ticket_id}/labels/{label}",
        "/tickets/{ticket}/labels/ui?workspace_id=team",
    ),
    on_ticket("POST", "collaborators", {"collaborator_id": "user:ada"}),
    on_ticket("GET", "collaborators"),
    Step(
        "DELETE",
        "/tickets/{ticket_id}/collaborators/{collaborator_id}",
        "/tickets/{ticket}/collaborators/user:ada?workspace_id=team",
    ),
    Step(
        "POST",
        "/tickets/{ticket_id}/links",
        "/tickets/{ticket}/links?workspace_id=team",
        {"type": "blocks", "target_ticket_id": "{other}"},
        keep={"link": "id"},
    ),
    on_ticket("GET", "links"),
    Step(
        "DELETE",
        "/tickets/{ticket_id}/links/{link_id}",
        "/tickets/{ticket}/links/{link}?workspace_id=team",
    ),
    on_ticket("POST", "comments", {"body": "It began on Tuesday"}),
    on_ticket("GET", "comments"),
    on_ticket("GET", "channel"),
    on_ticket("POST", "transition", {"to": "in_progress", "external": True}),
    on_ticket("POST", "transition", {"to": "done", "output_json": {"sha": "c0ffee"}}),
    on_ticket("GET", "events"),
    Step("GET", "/ticket-events", "/ticket-events?workspace_id=team&after_id=0&limit=1"),
    Step(
        "DELETE",
        "/workspaces/{workspace_id}/agents/{agent_id}",
        "/workspaces/team/agents/agent-1",
    ),
]

LINEAR = "/workspaces/team/integrations/linear"
SECRET = "whsec_of_the_webhook"  # noqa: S105  # of nothing that exists


def on_linear(method: str, part: str = "", body: Any = None) -> Step:
    """Return a step on the workspace's connection with Linear."""
    template = "/workspaces/{workspace_id}/integrations/linear"
    return Step(method, template + part, LINEAR + part, body)


MIRRORED = [
    on_linear(
        "PUT",
        body={
            "enabled": True,
            "auth_kind": "api_key",
            "api_key": "lin_api_of_a_robot",
            "team_id": "engineering",
            "webhook_secrets": [SECRET],
        },
    ),
    on_linear("GET"),
    on_linear("POST", "/verify"),
    on_linear("POST", "/reconcile"),
    Step(
        "POST",
        "/tickets",
        "/tickets?workspace_id=team",
        {"title": "Mirror me", "provider": "linear"},
        keep={"mirrored": "id", "issue": "sync.external_id"},
    ),
    on_linear("GET", "/outbox"),
    on_ticket("POST", "transition", {"to": "cancelled"}, "mirrored"),
    Step(
        "POST",
        "/webhooks/linear/{workspace_id}",
        "/webhooks/linear/team",
        {
            "action": "update",
            "type": "Issue",
            "webhookTimestamp": NOW_MS,
            "data": {
                "id": "{issue}",
                "identifier": "ENG-12",
                "title": "Mirror me",
                "priority": 3,
                "updatedAt": "2023-11-14T22:13:21.000Z",
                "state": {"id": "todo", "name": "Todo", "type": "unstarted"},
                "labels": [],
            },
        },
        signed_with=SECRET,
    ),
    on_ticket("GET", "sync", name="mirrored"),
    on_ticket("POST", "sync", name="mirrored"),
    on_ticket("POST", "sync/resolve", {"prefer": "local"}, "mirrored"),
    on_linear("DELETE"),
]

WALK = [
    Step("POST", "/pipelines", "/pipelines", PIPELINE, keep={"pipeline": "id"}),
    Step("GET", "/pipelines", "/pipelines"),
    Step("GET", "/pipelines/{pipeline_id}", "/pipelines/{pipeline}"),
    task("Parse the feed", "task", priority=5, retry_policy={"max_attempts": 3}),
    task("Show the feed", "second"),
    on_task("POST", "dependencies", {"depends_on_task_id": "{task}"}, "second"),
    on_task("GET", "dependencies", name="second"),
    on_task("GET", "why?agent_id=agent-1", name="second"),
    on_task("POST", "assignments", {"agent_id": "agent-1", "assigned_by": "lead"}),
    on_task("GET", "assignments"),
    on_task("PATCH", "", {"priority": 7}),
    on_task("PUT", "run-state", {"run_id": "wf-17", "workflow_state": {"node": "plan"}}),
    on_task("GET", "run-state"),
    claim("agent-1", lease_ttl_ms=60_000, wait_ms=0),
    Step(
        "POST",
        "/leases/{lease_id}/heartbeat",
        "/leases/{lease}/heartbeat",
        {},
        token_of="token",  # noqa: S106  # a name
    ),
    on_run("events", {"kind": "progress", "data": {"percent": 40}}),
    on_run("gates", {"gate": "tests", "status": "pass", "evidence": {"passed": 212}}),
    Step(
        "POST",
        "/artifacts",
        "/artifacts",
        {"task_id": "{task}", "run_id": "{run}", "kind": "patch", "uri": "s3://patches/1.diff"},
    ),
    Step("GET", "/artifacts", "/artifacts?run_id={run}"),
    Step("POST", "/v1/traces", "/v1/traces", SPANS),
    Step("POST", "/otlp/v1/traces", "/otlp/v1/traces", SPANS),
    Step("GET", "/traces", "/traces?run_id={run}&limit=1"),
    on_run(
        "transition",
        {"trigger": "submit", "expected_stage": "coding", "usage": {"tokens": 1200}},
    ),
    Step("GET", "/runs/{run_id}", "/runs/{run}"),
    Step("GET", "/runs/{run_id}/events", "/runs/{run}/events"),
    Step("GET", "/runs/{run_id}/gates", "/runs/{run}/gates"),
    on_task("GET", ""),
    on_task("GET", "runs"),
    on_task("GET", "events"),
    Step(
        "DELETE",
        "/tasks/{task_id}/dependencies/{depends_on_task_id}",
        "/tasks/{second}/dependencies/{task}",
    ),
    Step(
        "DELETE",
        "/tasks/{task_id}/assignments/{agent_id}",
        "/tasks/{task}/assignments/agent-1",
    ),
    claim("agent-2", "2"),
    on_run("release", {"reason": "wrong machine"}, "2"),
    claim("agent-2", "3"),
    on_run("fail", {"error": "tests do not compile"}, "3"),
    on_task("POST", "cancel", {"reason": "not wanted"}, "second"),
    on_task("POST", "requeue", {}, "second"),
    Step(
        "POST",
        "/tasks/bulk",
        "/tasks/bulk",
        {
            "tasks": [
                {"pipeline_id": "{pipeline}", "title": "A", "description": "", "ref": "a"},
                {
                    "pipeline_id": "{pipeline}",
                    "title": "B",
                    "description": "",
                    "depends_on_refs": ["a"],
                },
            ]
        },
    ),
    Step("GET", "/tasks", "/tasks?stage=review&limit=1"),
    Step(
        "PUT",
        "/store/{namespace}/{key}",
        "/store/team%20alpha/style",
        {"value": {"tone": "short sentences"}},
    ),
    Step("GET", "/store/{namespace}/{key}", "/store/team%20alpha/style"),
    Step("GET", "/store/{namespace}", "/store/team%20alpha?prefix=st"),
    Step("GET", "/store/search", "/store/search?q=sentences"),
    Step("DELETE", "/store/{namespace}/{key}", "/store/team%20alpha/style"),
    Step("DELETE", "/store/{namespace}", "/store/team%20alpha"),
    Step("GET", "/ops/queue", "/ops/queue"),
    Step("GET", "/changes", "/changes?kind=task.claimed&limit=1"),
    Step(
        "POST", "/ledger/events", "/ledger/events", {**LEDGER_EVENT, "event_id": "import-7-1"}
    ),
    Step("POST", "/ledger/events/bulk", "/ledger/events/bulk", {"events": LEDGER_EVENTS}),
    Step(
        "POST",
        "/ledger/tasks/{req}/touch",
        f"{LEDGER_TASK}/touch",
        {"actor": "importer", "source": "nightly"},
    ),
    Step("GET", "/ledger/events", "/ledger/events?after_seq=0&limit=1"),
    Step("GET", "/ledger/tasks", "/ledger/tasks?state=running,queued&prefix=import"),
    Step("GET", "/ledger/tasks/{req}", LEDGER_TASK),
    Step("GET", "/ledger/tasks/{req}/events", f"{LEDGER_TASK}/events?limit=1"),
    Step("GET", "/ledger/stale", "/ledger/stale?running_ms=60000&state=running"),
    Step(
        "POST",
        "/ledger/watchdog/sweep",
        "/ledger/watchdog/sweep",
        {"timeouts": {"RUNNING": 3_600_000}, "mark": False},
    ),
    Step(
        "POST",
        "/ledger/deliveries",
        "/ledger/deliveries",
        {"channel": "chat", "req": "import 7/a", "state": "RUNNING", "cooldown_ms": 60_000},
    ),
    Step("GET", "/ledger/deliveries", "/ledger/deliveries?channel=chat"),
    Step("POST", "/ledger/deliveries/{delivery_id}/fail", "/ledger/deliveries/1/fail"),
    Step("GET", "/ledger/verify", "/ledger/verify"),
    Step("POST", "/ledger/rebuild", "/ledger/rebuild"),
    *TICKETS,
    *MIRRORED,
    Step("GET", "/health", "/health"),
    Step("GET", "/ready", "/ready"),
    Step("GET", "/metrics", "/metrics"),
    Step("GET", "/openapi.json", "/openapi.json"),
    Step("GET", "/.well-known/openapi.json", "/.well-known/openapi.json"),
    Step("GET", "/docs", "/docs"),
]


def call(app: Application, step: Step, kept: dict[str, str]) -> tuple[str, bytes, str, str]:
    """Run one step; return status, answer, target and body as they were sent."""
    target = _filled(step.target, kept)
    body = "" if step.body is None else _filled(json.dumps(step.body), kept)
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": step.method,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "7700",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body.encode()),
        "wsgi.errors": sys.stderr,
        "CONTENT_LENGTH": str(len(body.encode())),
        "CONTENT_TYPE": "application/json",
    }
    if step.token_of:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {kept[step.token_of]}"
    if step.signed_with:
        environ["HTTP_LINEAR_SIGNATURE"] = sign(body.encode(), step.signed_with)
    statuses: list[str] = []
    answer = b"".join(app(environ, lambda status, *_: statuses.append(status)))
    if not statuses[0].startswith("2"):
        raise SystemExit(f"{step.method} {target}: {statuses[0]} {answer.decode()}")
    for name, place in step.keep.items():
        found = json.loads(answer)
        for key in place.split("."):
            found = found[key]
        kept[name] = found
    return statuses[0], answer, target, body


def _filled(text: str, kept: dict[str, str]) -> str:
    return _FIELD.sub(lambda found: kept.get(found[1], found[0]), text)
