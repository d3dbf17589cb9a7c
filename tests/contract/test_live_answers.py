"""Answers about things that exist, against the OpenAPI document.

Random ids end in 404 nearly always; here each request meets a task that is held, dead, done
or free, and a run with a live lease.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from tests.conftest import API_TOKEN, FrozenClock
from tests.contract.test_schemathesis import is_beyond_schema
from tests.factories import REVIEW, Json, bearer
from tests.linear.stand_in import StandIn
from tests.scratch import scratch_world
from tests.tickets import TicketPlace
from tests.vaults import PassingVault
from tests.worlds import World
from tickets.app import Application, openapi_document
from tickets.config import Settings
from tickets.errors import NotFound
from tickets.ids import new_id
from tickets.ledger.domain.documents import NewDelivery, NewLedgerEvent
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.sync_documents import IntegrationDocument
from tickets.tracker.domain.documents import RetryPolicyDocument, RunState
from tickets.web.conditions import UNCONDITIONAL

EXAMPLES = 12
WHSEC = "whsec_of_the_webhook"
# What names something that a document of random words cannot know, or contradicts itself.
OF_NOTHING = (
    "workspace_id",
    "id",
    "expected_version",
    "expected_status",
    "dispatch",
    "provider",
    "mode",
    "parent_ticket_id",
    "expected_output_schema",
    "assigned_agent_id",
    "assigned_team_id",
    "delegated_by_agent_id",
    "agent_id",
    "team_id",
    "child",
    "parent_comment_id",
)


class Live:
    """The application under test and what is in it."""

    def __init__(self) -> None:
        self.app: Application | None = None
        self.world: World | None = None
        self.linear: StandIn | None = None
        self.clock: FrozenClock | None = None
        self.connected = "nothing"
        self.states = itertools.cycle(["held", "dead", "done", "free"])
        self.answered: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        assert self.app is not None
        return self.app(environ, start_response)

    def ids(self, *, is_run: bool) -> Json:
        """Make a task in the next state, held where a run is asked for; return all ids."""
        assert self.world is not None
        world, state = self.world, "held" if is_run else next(self.states)
        # A role of its own, so that no other task is in the way.
        role = new_id()
        coding = {"coding": {"agent_role": role}}
        pipeline_id = world.pipeline({**REVIEW, "states": {**REVIEW["states"], **coding}})
        target = world.task(pipeline_id, assigned_agent_id="nobody here")
        task_id = world.task(
            pipeline_id,
            assigned_agent_id="a1",
            retry=RetryPolicyDocument(max_attempts=1),
        )
        ids = {
            "task_id": task_id,
            "pipeline_id": pipeline_id,
            "agent_id": "a1",
            "agent_role": role,
        }
        if state != "free":
            claim = world.claim(role)
            world.event(claim)
            world.gate(claim)
            world.artifact(claim)
            ids |= {"run_id": claim.run.id, "lease_id": claim.lease_id}
            if state == "dead":
                world.fail(claim)
            elif state == "done":
                world.transition(claim, "submit")
                world.do.dead_letters.cancel(task_id, reason=None)
                world.do.dead_letters.requeue(task_id, stage="done")
        world.depend(task_id, target)
        world.do.details.set_run_state(task_id, RunState(run_id="r", workflow_state=[1]))
        world.do.kv.put("ns", "key", {"a": 1}, condition=UNCONDITIONAL)
        return {
            **ids,
            **self.told(),
            "depends_on_task_id": target,
            "namespace": "ns",
            "key": "key",
        }

    def told(self) -> Json:
        """Tell the ledger of something new; return its names."""
        assert self.app is not None
        ledger, req = self.app.ledger, new_id()
        event = NewLedgerEvent(state="QUEUED", actor="a", source="s", req=req)
        ledger.events.append(event, scope=None)
        message = NewDelivery(channel="c", dedupe_key=req)
        return {"req": req, "delivery_id": ledger.deliveries.decide(message).delivery_id}

    def tickets(self, *, is_mirrored: bool) -> Json:
        """Make a workspace with tickets in it; return all ids."""
        assert self.world is not None
        place = TicketPlace(self.world.lifecycle)
        ids = place.ids()
        if is_mirrored:
            self.connect(ids["workspace_id"])
            ticket = place.start(place.ticket(provider="linear"))
            self.disagree(ticket)
            ids["ticket_id"] = ticket.id
        return ids

    def connect(self, workspace_id: str) -> None:
        """Connect a workspace with the stand-in, as the only one."""
        assert self.world is not None
        assert self.linear is not None
        with suppress(NotFound):
            self.world.lifecycle.integrations.delete(self.connected)
        document = IntegrationDocument(
            enabled=True,
            auth_kind="api_key",
            api_key=self.linear.key,
            team_id=self.linear.team_id,
            webhook_secrets=[WHSEC],
        )
        self.world.lifecycle.integrations.put(workspace_id, document)
        self.connected = workspace_id

    def disagree(self, ticket: Ticket) -> None:
        """Let the issue of a ticket be where the ticket cannot follow."""
        assert self.app is not None
        assert self.linear is not None
        assert self.clock is not None
        assert ticket.sync is not None
        self.app.lifecycle.pushing.push_due()
        self.clock.advance(ms=10)
        self.linear.edit(ticket.sync.external_id, state="Todo")
        while self.linear.webhooks:
            headers, body = self.linear.webhooks.pop(0).sent(WHSEC, self.clock.now_ms())
            self.app.lifecycle.inbox.receive(
                ticket.workspace_id,
                body,
                signature=headers["Linear-Signature"],
                delivery=headers["Linear-Delivery"],
                timestamp=None,
            )


live = Live()
# A webhook wants a signature of its bytes; tests/linear sends some that have one.
schema = schemathesis.openapi.from_dict(openapi_document()).exclude(path_regex="^/webhooks/")
schema.app = live
schema.config.generation.update(
    modes=[GenerationMode.POSITIVE], allow_x00=False, with_security_parameters=False
)


@pytest.fixture(scope="module", autouse=True)
def served() -> Iterator[None]:
    with scratch_world() as (world, clock):
        configured = Settings(db=Path("unused.db"), wait_slots=0, api_token=API_TOKEN)
        live.clock, live.linear = clock, StandIn(clock)
        live.world = world
        live.app = Application(
            world.db, configured, clock, linear=live.linear, vault=PassingVault()
        )
        yield
    never = [label for label, count in live.answered.items() if count == 0]
    assert never == [], "refused every time, so that no answer was looked at"


def aim(case: Any) -> None:
    """Let a generated request be about something that exists."""
    path = case.path_parameters or {}
    if case.path.startswith(("/workspaces", "/ticket")):
        aim_at_tickets(case)
        return
    ids = live.ids(is_run="run_id" in path or "lease_id" in path)
    case.path_parameters = {**path, **{name: ids[name] for name in path if name in ids}}
    if isinstance(case.body, dict):
        case.body = aimed(case.body, ids)
        if "depends_on_task_id" in case.body:
            case.body["depends_on_task_id"] = live.ids(is_run=False)["task_id"]
    # Versions and encodings that are made up would end in a refusal.
    for name in ("If-Match", "If-None-Match", "Content-Encoding", "X-Workspace-Id"):
        (case.headers or {}).pop(name, None)
    if "/ledger/" in case.path:
        for name in ("workspace_id", "state", "cursor", "after_seq"):
            (case.query or {}).pop(name, None)
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = new_id()


def aim_at_tickets(case: Any) -> None:
    """Let a generated request be about a workspace and a ticket that exist."""
    is_mirrored = "linear" in case.path or "/sync" in case.path
    path, ids = case.path_parameters or {}, live.tickets(is_mirrored=is_mirrored)
    if case.path.endswith(("/assign", "/unassign", "/delegate", "/dispatch")):
        ids["ticket_id"] = ids["assigned_id"]
    case.path_parameters = {**path, **{name: ids[name] for name in path if name in ids}}
    case.headers = {
        name: value
        for name, value in (case.headers or {}).items()
        if name not in ("If-Match", "X-Actor", "X-Lease-Token")
    }
    if case.path.startswith("/ticket"):
        case.headers["X-Workspace-Id"] = ids["workspace_id"]
        case.query = {
            name: value
            for name, value in (case.query or {}).items()
            if name not in ("workspace_id", "ticket_id")
        }
    if isinstance(case.body, dict) and "/integrations/" not in case.path:
        case.body = place_body(case, ids)
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = new_id()


def place_body(case: Any, ids: Json) -> Json:
    """Return a body that names what exists, and asks for what can be."""
    body = {name: value for name, value in case.body.items() if name not in OF_NOTHING}
    known = {
        "to": "failed",
        "error_message": "e",
        "agent_id": ids["worker_id"],
        "delegated_by_agent_id": ids["collaborator_id"],
        "collaborator_id": "user:new",
        "target_ticket_id": ids["other_id"],
        "agent_ids": [ids["agent_id"]],
    }
    wanted = {
        "/transition": ("to", "error_message"),
        "/assign": ("agent_id",),
        "/delegate": ("agent_id", "delegated_by_agent_id"),
        "/collaborators": ("collaborator_id",),
        "/links": ("target_ticket_id",),
        "/{team_id}": ("agent_ids",),
    }
    part = next((part for part in wanted if case.path.endswith(part)), None)
    if part is None:
        return body
    kept = {} if part == "/transition" else body
    return {**kept, **{name: known[name] for name in wanted[part]}}


def aimed(body: Json, ids: Json) -> Json:
    """Return a body that names what exists."""
    known = {**ids, "trigger": "submit", "status": "pass", "definition": REVIEW}
    known |= {"state": "QUEUED", "thresholds": {"RUNNING": 5}, "timeouts": {"RUNNING": 0}}
    known |= {"channel": "c", "dedupe_key": new_id()}
    shown = {name: known.get(name, value) for name, value in body.items()}
    for name in ("expected_stage", "expected_task_version", "dependencies", "stage"):
        shown.pop(name, None)
    for name in ("expected_state", "event_id", "scope"):
        shown.pop(name, None)
    policy, items = shown.get("retry_policy"), shown.get("tasks")
    events = shown.get("events")
    if events is not None:
        shown["events"] = [aimed(item, ids) for item in events]
    if policy is not None:
        shown["retry_policy"] = {**policy, "dead_letter_stage": "done"}
    if items is not None:
        shown["tasks"] = [
            {**aimed(item, ids), "depends_on_refs": [], "ref": f"ref-{number}"}
            for number, item in enumerate(items)
        ]
    return shown


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_about_what_exists_is_as_documented(case: Any) -> None:
    aim(case)

    response = case.call(headers=bearer(API_TOKEN))

    live.answered[case.operation.label] += response.status_code < 300
    case.validate_response(
        response,
        headers=bearer(API_TOKEN),
        # What was sent is no longer what was generated: nothing of it is known to be wrong.
        excluded_checks=[
            negative_data_rejection,
            *([positive_data_acceptance] if is_beyond_schema(case, response) else []),
        ],
    )
