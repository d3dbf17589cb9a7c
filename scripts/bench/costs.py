"""What each request costs alone, among few rows and among very many."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripts.bench.connection import Connection, Refused
from scripts.bench.outcome import Outcome
from scripts.bench.results import Result, Row, growth
from scripts.bench.rounds import Bench
from scripts.bench.seed import BATCH, Backlog, Json
from scripts.bench.service import serving
from scripts.bench.stock import NAMESPACE, Stock, grow

# Fewer would say nothing about a median.
LEAST_SAMPLES = 5
# A page that is full among few rows too.
PAGE = 20


class Costs:
    """Asks the same thing several times and keeps how long each answer took."""

    def __init__(self, connection: Connection, samples: int, seconds: float) -> None:
        self._connection = connection
        self._samples = samples
        self._seconds = seconds
        self.taken = Outcome()

    def repeat(self, do: Callable[[], object]) -> None:
        """Do something as often as wanted, or as there is time for."""
        ends_s = time.monotonic() + self._seconds
        for done in range(self._samples):
            if done >= LEAST_SAMPLES and time.monotonic() >= ends_s:
                return
            do()

    def ask(
        self, name: str, method: str, path: str, body: Any = None, token: str | None = None
    ) -> Any:
        """Ask once and keep the time under a name; a refusal is counted."""
        begun_s = time.perf_counter()
        try:
            answer = self._connection.json(method, path, body, token)
        except Refused as error:
            self.taken.errors[f"{name}: {error}"] += 1
            raise
        took_us = round((time.perf_counter() - begun_s) * 1_000_000)
        self.taken.times_us.setdefault(name, []).append(took_us)
        return answer


def reads(stock: Stock) -> Iterator[tuple[str, str]]:
    """Yield every read: what it is called, and its path."""
    task, run, late = stock.ended_task, stock.ended_run, stock.late_task
    pipeline = stock.backlog.pipeline_id
    cursor = f"{late['created_at_ms']}:{late['id']}"
    yield "tasks", f"/tasks?limit={PAGE}"
    yield "tasks, far in", f"/tasks?limit={PAGE}&cursor={cursor}"
    yield "tasks of a stage", f"/tasks?stage=todo&limit={PAGE}"
    yield (
        "tasks of a pipeline and stage",
        f"/tasks?pipeline_id={pipeline}&stage=todo&limit={PAGE}",
    )
    yield "tasks, dead-lettered", f"/tasks?dead_lettered=true&limit={PAGE}"
    yield "task", f"/tasks/{task}"
    yield "task, why", f"/tasks/{stock.dependent_task}/why"
    yield "runs of a task", f"/tasks/{task}/runs"
    yield "events of a task", f"/tasks/{task}/events?limit={PAGE}"
    yield "dependencies of a task", f"/tasks/{stock.dependent_task}/dependencies"
    yield "assignments of a task", f"/tasks/{stock.assigned_task}/assignments"
    yield "run", f"/runs/{run}"
    yield "events of a run", f"/runs/{run}/events?limit={PAGE}"
    yield "gates of a run", f"/runs/{run}/gates"
    yield "artifacts", f"/artifacts?limit={PAGE}"
    yield "artifacts of a run", f"/artifacts?run_id={run}&limit={PAGE}"
    yield "changes", f"/changes?limit={PAGE}"
    yield "changes, far in", f"/changes?limit={PAGE}&after={stock.rows['changes'] // 2}"
    yield "changes of a kind", f"/changes?limit={PAGE}&kind=task.created"
    yield "traces", f"/traces?limit={PAGE}"
    yield "traces of a run", f"/traces?run_id={run}&limit={PAGE}"
    yield "pipelines", f"/pipelines?limit={PAGE}"
    yield "pipeline", f"/pipelines/{pipeline}"
    yield "store", f"/store/{NAMESPACE}?limit={PAGE}"
    yield "store entry", f"/store/{NAMESPACE}/key-1"
    yield "store search, a rare word", "/store/search?q=number3"
    yield "store search, a word of every entry", "/store/search?q=common"
    yield "queue statistics", "/ops/queue"
    yield "health", "/health"
    yield "ready", "/ready"
    yield "metrics", "/metrics"


def writes(costs: Costs, stock: Stock) -> None:
    """Measure what agents and their masters write."""
    backlog = stock.backlog
    costs.repeat(lambda: costs.ask("create", "POST", "/tasks", backlog.task()))
    many = {"tasks": [backlog.task() for _ in range(BATCH)]}
    costs.repeat(lambda: costs.ask(f"bulk of {BATCH}", "POST", "/tasks/bulk", many))
    entry = f"/store/{NAMESPACE}/key-1"
    costs.repeat(lambda: costs.ask("store put", "PUT", entry, {"value": {"text": "common"}}))
    costs.repeat(lambda: _work(costs, backlog.role))
    costs.repeat(lambda: _fail(costs, backlog.role))


def _claim(costs: Costs, role: str) -> tuple[str, Json]:
    body = {"agent_id": "bench", "agent_role": role, "lease_ttl_ms": 600_000}
    claim: Json = costs.ask("claim", "POST", "/leases/claim", body)
    return f"/runs/{claim['run']['id']}", claim


def _work(costs: Costs, role: str) -> None:
    run, claim = _claim(costs, role)
    lease, token = f"/leases/{claim['lease_id']}", claim["lease_token"]
    artifact = {"kind": "patch", "uri": "file:///tmp/a.diff", "run_id": claim["run"]["id"]}
    costs.ask("heartbeat", "POST", f"{lease}/heartbeat", {"lease_ttl_ms": 600_000}, token)
    costs.ask("event", "POST", f"{run}/events", {"kind": "progress", "data": {}}, token)
    costs.ask("gate", "POST", f"{run}/gates", {"gate": "tests", "status": "pass"}, token)
    costs.ask("artifact", "POST", "/artifacts", artifact)
    costs.ask("transition", "POST", f"{run}/transition", {"trigger": "complete"}, token)


def _fail(costs: Costs, role: str) -> None:
    run, claim = _claim(costs, role)
    costs.ask("fail", "POST", f"{run}/fail", {"error": "no"}, claim["lease_token"])


def measure(bench: Bench, backlog: Backlog, size: int) -> tuple[Stock, Outcome]:
    """Return what there is at this size, and what everything costs there."""
    stock = grow(backlog, size, bench.sizes.cost_single_rows)
    with Connection(backlog.address) as connection:
        costs = Costs(connection, bench.sizes.cost_samples, bench.sizes.cost_seconds)
        for name, path in reads(stock):
            # The first answer fills caches, of the service and of the system.
            connection.json("GET", path)
            costs.repeat(functools.partial(costs.ask, name, "GET", path))
        writes(costs, stock)
    return stock, costs.taken


@contextmanager
def _backlog(bench: Bench, size: int) -> Iterator[Backlog]:
    """Give the long backlog of an earlier figure where it fits, else one of its own."""
    if bench.longest is not None and bench.sizes.backlogs[-1] == size:
        # What was worked off since is filled up again with everything else.
        yield bench.longest
        return
    with serving(bench.chosen) as service:
        backlog = Backlog(service.address, "costs")
        backlog.fill(size)
        service.settle(bench.sizes.settle_seconds)
        yield backlog


def costs(bench: Bench) -> Result:
    """Time of every request among few rows and among very many."""
    rows: dict[str, dict[str, int]] = {}
    taken: dict[str, Outcome] = {}
    for size in bench.sizes.cost_rows:
        with _backlog(bench, size) as backlog:
            stock, taken[str(size)] = measure(bench, backlog, size)
        rows[str(size)] = stock.rows
    table = cost_table(taken)
    growing = [line["request"] for line in table if line["growth"] == "growing"]
    least, most = bench.sizes.cost_rows[0], bench.sizes.cost_rows[-1]
    name = f"requests whose time grows with the rows, {least} → {most}"
    return Result([Row(name, len(growing))], {"rows_of_kinds": rows, "requests": table})


def cost_table(taken: dict[str, Outcome]) -> list[dict[str, Any]]:
    """Return a line for each request: its times at each size, and how they grow."""
    first, *_, last = taken.values()
    return [
        {
            "request": name,
            "p50_ms": {size: outcome.ms(50, name) for size, outcome in taken.items()},
            "p99_ms": {size: outcome.ms(99, name) for size, outcome in taken.items()},
            "growth": growth(first.ms(50, name), last.ms(50, name)),
        }
        for name in first.times_us
    ]
