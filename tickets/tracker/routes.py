"""Every path of the tracker, in the order of docs/api.md."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.ledger.operations.feed import LedgerFeed
from tickets.tracker.operations.artifacts import ArtifactOperations
from tickets.tracker.operations.assignments import AssignmentOperations
from tickets.tracker.operations.changes import ChangeOperations
from tickets.tracker.operations.dead_letters import DeadLetterOperations
from tickets.tracker.operations.dependencies import DependencyOperations
from tickets.tracker.operations.events import EventOperations
from tickets.tracker.operations.gates import GateOperations
from tickets.tracker.operations.health import HealthOperations
from tickets.tracker.operations.kv import KvOperations
from tickets.tracker.operations.leases import LeaseOperations
from tickets.tracker.operations.managed import ManagedTaskOperations
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.pipelines import Definitions, PipelineOperations
from tickets.tracker.operations.queue import QueueOperations
from tickets.tracker.operations.readiness import Readiness
from tickets.tracker.operations.runs import RunOperations
from tickets.tracker.operations.task_creation import TaskCreationOperations
from tickets.tracker.operations.task_details import TaskDetailOperations
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.tracker.operations.tasks import TaskOperations
from tickets.tracker.operations.traces import TraceOperations
from tickets.tracker.resources import tasks as task
from tickets.tracker.resources.artifacts import ArtifactCollection
from tickets.tracker.resources.assignments import AssignmentCollection, AssignmentItem
from tickets.tracker.resources.changes import ChangeCollection
from tickets.tracker.resources.dependencies import DependencyCollection, DependencyItem
from tickets.tracker.resources.events import RunEvents
from tickets.tracker.resources.gates import RunGates
from tickets.tracker.resources.health import HealthItem, ReadyItem
from tickets.tracker.resources.kv import EntryItem, NamespaceItem, StoreSearch
from tickets.tracker.resources.leases import LeaseClaim, LeaseHeartbeat
from tickets.tracker.resources.pipelines import PipelineCollection, PipelineItem
from tickets.tracker.resources.queue import QueueStatistics
from tickets.tracker.resources.runs import RunFail, RunItem, RunRelease, RunTransition
from tickets.tracker.resources.traces import TraceCollection, TraceIngest
from tickets.web.metrics import Metrics
from tickets.web.routes import Route
from tickets.web.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Operations:
    """The tracker's operations, one object for each family, and the definitions they share."""

    definitions: Definitions
    pipelines: PipelineOperations
    creation: TaskCreationOperations
    tasks: TaskOperations
    details: TaskDetailOperations
    dead_letters: DeadLetterOperations
    dependencies: DependencyOperations
    assignments: AssignmentOperations
    readiness: Readiness
    leases: LeaseOperations
    runs: RunOperations
    events: EventOperations
    gates: GateOperations
    artifacts: ArtifactOperations
    managed: ManagedTaskOperations
    kv: KvOperations
    traces: TraceOperations
    changes: ChangeOperations
    queue: QueueOperations
    health: HealthOperations


def build_operations(
    db: Database,
    clock: Clock,
    *,
    gates: str,
    pending_migrations: Callable[[], list[str]],
    random_unit: Callable[[], float] = random.random,
    managers: Managers | None = None,
    ledger: LedgerFeed | None = None,
) -> Operations:
    """Build all operations on one database and one clock; ``ledger`` is told of all facts."""
    managers = managers or Managers()
    definitions = Definitions()
    feed = TaskFeed(ledger if ledger is not None else LedgerFeed())
    readiness = Readiness(definitions, random_unit, managers, feed)
    return Operations(
        definitions=definitions,
        pipelines=PipelineOperations(db, clock),
        creation=TaskCreationOperations(db, clock, definitions, feed),
        tasks=TaskOperations(db, clock, definitions),
        details=TaskDetailOperations(db, clock, definitions),
        dead_letters=DeadLetterOperations(db, clock, definitions, readiness, managers, feed),
        dependencies=DependencyOperations(db, clock, managers),
        assignments=AssignmentOperations(db, clock, managers),
        readiness=readiness,
        leases=LeaseOperations(db, clock, readiness, managers, feed),
        runs=RunOperations(db, clock, definitions, readiness, managers, feed, gates=gates),
        events=EventOperations(db, clock, managers, feed),
        gates=GateOperations(db, clock),
        artifacts=ArtifactOperations(db, clock),
        managed=ManagedTaskOperations(db, clock, readiness, feed),
        kv=KvOperations(db, clock),
        traces=TraceOperations(db, clock),
        changes=ChangeOperations(db),
        queue=QueueOperations(db, clock),
        health=HealthOperations(db, clock, pending_migrations=pending_migrations),
    )


def tracker_routes(do: Operations, waiting: Waiting, metrics: Metrics) -> list[Route]:
    """Return the tracker's routes."""
    traces = TraceIngest(do.traces)
    return [
        Route("/health", HealthItem(do.health)),
        Route("/ready", ReadyItem(do.health)),
        Route("/pipelines", PipelineCollection(do.pipelines)),
        Route("/pipelines/{pipeline_id}", PipelineItem(do.pipelines)),
        Route("/tasks", task.TaskCollection(do.creation, do.tasks)),
        Route("/tasks/bulk", task.TaskBulk(do.creation)),
        Route("/tasks/{task_id}", task.TaskItem(do.tasks, do.details)),
        Route("/tasks/{task_id}/why", task.TaskWhy(do.details)),
        Route("/tasks/{task_id}/runs", task.TaskRuns(do.runs)),
        Route("/tasks/{task_id}/events", task.TaskEvents(do.events)),
        Route("/tasks/{task_id}/run-state", task.TaskRunStateItem(do.details)),
        Route("/tasks/{task_id}/cancel", task.TaskCancel(do.dead_letters)),
        Route("/tasks/{task_id}/requeue", task.TaskRequeue(do.dead_letters)),
        Route("/tasks/{task_id}/dependencies", DependencyCollection(do.dependencies)),
        Route(
            "/tasks/{task_id}/dependencies/{depends_on_task_id}",
            DependencyItem(do.dependencies),
        ),
        Route("/tasks/{task_id}/assignments", AssignmentCollection(do.assignments)),
        Route("/tasks/{task_id}/assignments/{agent_id}", AssignmentItem(do.assignments)),
        Route("/leases/claim", LeaseClaim(do.leases, waiting, metrics)),
        Route("/leases/{lease_id}/heartbeat", LeaseHeartbeat(do.leases)),
        Route("/runs/{run_id}", RunItem(do.runs)),
        Route("/runs/{run_id}/events", RunEvents(do.events, do.runs)),
        Route("/runs/{run_id}/gates", RunGates(do.gates, do.runs)),
        Route("/runs/{run_id}/transition", RunTransition(do.runs)),
        Route("/runs/{run_id}/fail", RunFail(do.runs)),
        Route("/runs/{run_id}/release", RunRelease(do.runs)),
        Route("/artifacts", ArtifactCollection(do.artifacts)),
        Route("/store/search", StoreSearch(do.kv)),
        Route("/store/{namespace}", NamespaceItem(do.kv)),
        Route("/store/{namespace}/{key}", EntryItem(do.kv)),
        Route("/ops/queue", QueueStatistics(do.queue)),
        Route("/changes", ChangeCollection(do.changes, waiting)),
        Route("/v1/traces", traces),
        Route("/otlp/v1/traces", traces),
        Route("/traces", TraceCollection(do.traces)),
    ]
