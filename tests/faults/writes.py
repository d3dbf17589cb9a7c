"""Every operation that writes, each on a state in which it has much to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import FrozenClock
from tests.factories import REVIEW, Json
from tests.nulltickets import filled
from tests.worlds import World
from tickets.config import Settings
from tickets.housekeeping import Housekeeping
from tickets.ids import hash_token
from tickets.lifecycle.operations.dispatch import MANAGER
from tickets.tracker.domain.documents import (
    BulkTask,
    NewArtifact,
    NewEvent,
    NewPipeline,
    NewTask,
    RetryPolicyDocument,
    RunState,
    TaskChanges,
)
from tickets.tracker.domain.records import Claim
from tickets.tracker.operations.imports import ImportOperations
from tickets.tracker.operations.retention import RetentionOperations

Work = Callable[[], object]

ONCE = RetryPolicyDocument(max_attempts=1, dead_letter_stage="done")
LATER = RetryPolicyDocument(retry_delay_ms=50)


class Place:
    """A world, its clock and its folder."""

    def __init__(self, world: World, clock: FrozenClock, folder: Path) -> None:
        self.world = world
        self.clock = clock
        self.folder = folder
        self.pipeline_id = world.pipeline(REVIEW)

    def claimed(self, **fields: Any) -> Claim:
        """Return a claim of a task for which another one waits."""
        task_id = self.world.task(self.pipeline_id, priority=5, **fields)
        self.world.task(self.pipeline_id, dependencies=[task_id])
        return self.world.claim()

    def managed(self) -> str:
        """Return a task that belongs to another part of the service."""
        task = NewTask(pipeline_id=self.pipeline_id, title="t", description="")
        return self.world.do.creation.create(task, manager=MANAGER)

    def cancelled(self) -> str:
        """Return a task that was given up after it had begun."""
        claim = self.claimed()
        self.world.do.dead_letters.cancel(claim.task.id, reason=None)
        return claim.task.id


# By the name of what is done: a module of the operations and a public method.
PREPARED: dict[str, Callable[[Place], Work]] = {}


def doing(name: str) -> Callable[[Callable[[Place], Work]], Callable[[Place], Work]]:
    """Keep what prepares a world, and returns what is then to be done, under a name."""

    def keep(prepare: Callable[[Place], Work]) -> Callable[[Place], Work]:
        PREPARED[name] = prepare
        return prepare

    return keep


@doing("pipelines.create")
def pipelines_create(at: Place) -> Work:
    return at.world.pipeline


@doing("pipelines.find_or_create")
def pipelines_find_or_create(at: Place) -> Work:
    document = NewPipeline(name="new", definition=REVIEW)
    return lambda: at.world.do.pipelines.find_or_create(document)


@doing("task_creation.create")
def task_creation_create(at: Place) -> Work:
    other = at.world.task(at.pipeline_id)
    return lambda: at.world.task(at.pipeline_id, dependencies=[other], assigned_agent_id="a")


@doing("task_creation.create_many")
def task_creation_create_many(at: Place) -> Work:
    item: Json = {"pipeline_id": at.pipeline_id, "title": "t", "description": ""}
    tasks = [BulkTask(**item, ref="a"), BulkTask(**item, depends_on_refs=["a"])]
    return lambda: at.world.do.creation.create_many(tasks)


@doing("tasks.change")
def tasks_change(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id)
    changes = TaskChanges(title="new", priority=3, retry_policy=LATER)
    return lambda: at.world.do.tasks.change(task_id, changes)


@doing("task_details.set_run_state")
def details_set_run_state(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id)
    state = RunState(run_id="r", workflow_state={"a": 1})
    return lambda: at.world.do.details.set_run_state(task_id, state)


@doing("dead_letters.cancel")
def dead_letters_cancel(at: Place) -> Work:
    task_id = at.claimed().task.id
    return lambda: at.world.do.dead_letters.cancel(task_id, reason="r")


@doing("dead_letters.requeue")
def dead_letters_requeue(at: Place) -> Work:
    task_id = at.cancelled()
    return lambda: at.world.do.dead_letters.requeue(task_id, stage="review")


@doing("dependencies.add")
def dependencies_add(at: Place) -> Work:
    first, second = at.world.tasks(at.pipeline_id, 2)
    return lambda: at.world.depend(second, first)


@doing("dependencies.remove")
def dependencies_remove(at: Place) -> Work:
    first, second = at.world.tasks(at.pipeline_id, 2)
    at.world.depend(second, first)
    return lambda: at.world.do.dependencies.remove(second, first)


@doing("assignments.assign")
def assignments_assign(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id, assigned_agent_id="old")
    return lambda: at.world.assign(task_id, "new")


@doing("assignments.unassign")
def assignments_unassign(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id, assigned_agent_id="a")
    return lambda: at.world.do.assignments.unassign(task_id, "a")


@doing("leases.claim")
def leases_claim(at: Place) -> Work:
    at.world.task(at.pipeline_id, priority=9, retry=LATER)
    at.world.event(at.world.claim(lease_ttl_ms=10))
    at.world.task(at.pipeline_id, priority=9, retry=LATER)
    at.world.fail(at.world.claim())
    at.world.tasks(at.pipeline_id, 2)
    at.clock.advance(ms=55)
    return lambda: at.world.claims(max_tasks=3)


@doing("leases.renew_tokens")
def leases_renew_tokens(at: Place) -> Work:
    lease_id = at.claimed().lease_id
    return lambda: at.world.do.leases.renew_tokens([lease_id])


@doing("leases.heartbeat")
def leases_heartbeat(at: Place) -> Work:
    claim = at.claimed()
    return lambda: at.world.heartbeat(claim, 900_000)


@doing("runs.transition")
def runs_transition(at: Place) -> Work:
    at.world.transition(at.claimed(), "submit")
    claim = at.world.claim("reviewer")
    return lambda: at.world.transition(claim, "approve")


@doing("runs.fail")
def runs_fail(at: Place) -> Work:
    claim = at.claimed(retry=ONCE)
    return lambda: at.world.fail(claim)


@doing("runs.release")
def runs_release(at: Place) -> Work:
    claim = at.claimed()
    return lambda: at.world.release(claim)


@doing("events.append")
def events_append(at: Place) -> Work:
    claim = at.claimed()
    events = [NewEvent(kind="a"), NewEvent(kind="b")]
    holder = hash_token(claim.lease_token)
    return lambda: at.world.do.events.append(claim.run.id, events, holder=holder)


@doing("gates.append")
def gates_append(at: Place) -> Work:
    claim = at.claimed()
    return lambda: at.world.gate(claim)


@doing("artifacts.create")
def artifacts_create(at: Place) -> Work:
    run_id = at.claimed().run.id
    artifact = NewArtifact(kind="k", uri="u", run_id=run_id)
    return lambda: at.world.do.artifacts.create(artifact, reader=None)


@doing("managed.hold")
def managed_hold(at: Place) -> Work:
    task_id = at.managed()
    return lambda: at.world.do.managed.hold(task_id)


@doing("managed.unhold")
def managed_unhold(at: Place) -> Work:
    task_id = at.managed()
    at.world.do.managed.hold(task_id)
    return lambda: at.world.do.managed.unhold(task_id)


@doing("managed.pin")
def managed_pin(at: Place) -> Work:
    task_id = at.managed()
    return lambda: at.world.do.managed.pin(task_id, "a9", assigned_by="keeper")


@doing("managed.set_priority")
def managed_set_priority(at: Place) -> Work:
    task_id = at.managed()
    return lambda: at.world.do.managed.set_priority(task_id, 7)


@doing("managed.withdraw")
def managed_withdraw(at: Place) -> Work:
    task_id = at.managed()
    at.world.claim()
    return lambda: at.world.do.managed.withdraw(task_id, reason="r", details={})


@doing("kv.put")
def kv_put(at: Place) -> Work:
    at.world.do.kv.put("n", "k", "old words")
    return lambda: at.world.do.kv.put("n", "k", "new words")


@doing("kv.delete")
def kv_delete(at: Place) -> Work:
    at.world.do.kv.put("n", "k", "words")
    return lambda: at.world.do.kv.delete("n", "k")


@doing("kv.delete_namespace")
def kv_delete_namespace(at: Place) -> Work:
    for key in ("a", "b"):
        at.world.do.kv.put("n", key, "words")
    return lambda: at.world.do.kv.delete_namespace("n")


@doing("kv.rebuild_search")
def kv_rebuild_search(at: Place) -> Work:
    for key in ("a", "b"):
        at.world.do.kv.put("n", key, "words")
    with at.world.db.write() as tx, tx.raw() as connection:
        connection.execute("DELETE FROM kv_search")
    return at.world.do.kv.rebuild_search


@doing("traces.accept_json")
def traces_accept_json(at: Place) -> Work:
    span = {"traceId": "t", "spanId": "s", "name": "n"}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span, span]}]}]}
    accept = at.world.do.traces.accept_json
    return lambda: accept(b"{}", document, content_type="application/json")


@doing("traces.accept_protobuf")
def traces_accept_protobuf(at: Place) -> Work:
    accept = at.world.do.traces.accept_protobuf
    return lambda: accept(b"no span", content_type="application/x-protobuf")


@doing("traces.accept_other")
def traces_accept_other(at: Place) -> Work:
    return lambda: at.world.do.traces.accept_other(b"x", content_type="text/plain")


@doing("retention.prune_tasks")
def retention_prune_tasks(at: Place) -> Work:
    for task_id in at.world.tasks(at.pipeline_id, 2):
        at.world.artifact(at.world.claim())
        at.world.do.dead_letters.cancel(task_id, reason=None)
    at.clock.advance(ms=100)
    return lambda: _retention(at).prune_tasks(older_than_ms=100)


@doing("retention.prune_changes")
def retention_prune_changes(at: Place) -> Work:
    at.claimed()
    at.clock.advance(ms=100)
    return lambda: _retention(at).prune_changes(older_than_ms=100)


@doing("retention.prune_traces")
def retention_prune_traces(at: Place) -> Work:
    at.world.do.traces.accept_other(b"x", content_type="text/plain")
    at.clock.advance(ms=100)
    return lambda: _retention(at).prune_traces(older_than_ms=100)


@doing("retention.prune_idempotency_keys")
def retention_prune_idempotency_keys(at: Place) -> Work:
    with at.world.db.write() as tx:
        tx.run(
            "idempotency.record",
            principal="p",
            key="k",
            method="POST",
            route="[]",
            request_hash=b"h",
            response_status=200,
            response_json="{}",
            response_headers_json=None,
            created_at_ms=at.clock.now_ms(),
        )
    at.clock.advance(ms=100)
    return lambda: _retention(at).prune_idempotency_keys(older_than_ms=100)


@doing("imports.import_file")
def imports_import_file(at: Place) -> Work:
    old = filled(at.folder / "old.db", era="store")
    return lambda: ImportOperations(at.world.db, at.clock).import_file(old.path)


@doing("housekeeping.advance_readiness")
def housekeeping_advance_readiness(at: Place) -> Work:
    leases_claim(at)
    settings = Settings(db=at.folder / "tickets.db")
    keeper = Housekeeping(at.world.db, at.clock, at.world.do.readiness, settings)
    return keeper.advance_readiness


def _retention(at: Place) -> RetentionOperations:
    return RetentionOperations(at.world.db, at.clock)
