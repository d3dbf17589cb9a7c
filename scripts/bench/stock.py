"""Rows of every kind, for measuring what each request costs among so many."""

from __future__ import annotations

import functools
import math
import secrets
from dataclasses import dataclass

from scripts.bench.connection import Connection
from scripts.bench.seed import (
    Backlog,
    Json,
    claim_many,
    definition,
    on_run,
    over_connections,
    pieces,
)

EVENTS_A_REQUEST = 1_000
SPANS_A_REQUEST = 1_000
RUNS_WITH_EVENTS = 50
DEPENDENCIES_OF_A_TASK = 10
# Kinds that come many at a time, but are slower than tasks.
MANY_ROWS = 100_000
NAMESPACE = "bench"
# More than a page, so that the page after the late task is full.
AFTER_LATE_TASK = 100


@dataclass(frozen=True)
class Stock:
    """What there is: rows of each kind, and one of each to ask for."""

    backlog: Backlog
    rows: dict[str, int]
    ended_task: str
    ended_run: str
    dependent_task: str
    assigned_task: str
    late_task: Json


def grow(backlog: Backlog, size: int, single_rows: int) -> Stock:
    """Add rows until there are ``size`` of each kind, or as many as its limit lets in."""
    address = backlog.address
    few, many = min(size, single_rows), min(size, MANY_ROWS)
    tasks = Backlog(address, "ended")
    claims = _runs(tasks, few, size)
    over_connections(
        address,
        claims,
        lambda c, claim: on_run(c, claim, "transition", {"trigger": "complete"}),
    )
    of_claims = [(claims[i % len(claims)], i) for i in range(few)]
    over_connections(address, of_claims, _artifact)
    over_connections(address, range(few), _entry)
    over_connections(address, list(pieces(many, SPANS_A_REQUEST)), _spans)
    pipelines = math.isqrt(size)
    over_connections(address, range(pipelines), functools.partial(_pipeline, tasks.role))
    targets = backlog.create(DEPENDENCIES_OF_A_TASK)
    dependents = backlog.create(many // DEPENDENCIES_OF_A_TASK, dependencies=targets)
    assigned = backlog.create(many, assigned_agent_id="somebody")
    backlog.fill(size)
    [late] = backlog.create(1)
    backlog.create(AFTER_LATE_TASK)
    with Connection(address) as connection:
        late_task = connection.json("GET", f"/tasks/{late}")
    return Stock(
        backlog,
        {
            "tasks": size,
            "runs": few,
            "events": size,
            "artifacts": few,
            "store": few,
            "traces": many,
            "pipelines": pipelines,
            "dependencies": many,
            "assignments": many,
            "changes": size,
        },
        ended_task=claims[-1]["task"]["id"],
        ended_run=claims[-1]["run"]["id"],
        dependent_task=dependents[-1],
        assigned_task=assigned[-1],
        late_task=late_task,
    )


def _runs(tasks: Backlog, count: int, events: int) -> list[Json]:
    """Claim so many runs, and give them so many events between them."""
    tasks.fill(count)
    with Connection(tasks.address) as connection:
        claims = claim_many(connection, tasks.role, count)
    # The last ones, because the last one's events are asked for.
    talkative = claims[: -RUNS_WITH_EVENTS - 1 : -1]
    of_claims = [
        (talkative[i % len(talkative)], size)
        for i, size in enumerate(pieces(events, EVENTS_A_REQUEST))
    ]
    over_connections(tasks.address, of_claims, _events)
    return claims


def _events(connection: Connection, work: tuple[Json, int]) -> None:
    claim, count = work
    event = {"kind": "progress", "data": {"note": "half of it is done"}}
    on_run(connection, claim, "events", {"events": [event] * count})


def _artifact(connection: Connection, work: tuple[Json, int]) -> None:
    claim, number = work
    body = {
        "kind": "patch",
        "uri": f"file:///tmp/{number}.diff",
        "run_id": claim["run"]["id"],
        "task_id": claim["task"]["id"],
    }
    connection.json("POST", "/artifacts", body)


def _entry(connection: Connection, number: int) -> None:
    text = f"entry number{number} has a common word"
    connection.json("PUT", f"/store/{NAMESPACE}/key-{number}", {"value": {"text": text}})


def _pipeline(role: str, connection: Connection, number: int) -> None:
    body = {"name": f"{role}-{number}-{secrets.token_hex(4)}", "definition": definition(role)}
    connection.json("POST", "/pipelines", body)


def _spans(connection: Connection, count: int) -> None:
    trace = secrets.token_hex(16)
    spans = [
        {
            "traceId": trace,
            "spanId": secrets.token_hex(8),
            "name": "work",
            "kind": 1,
            "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": "1700000001000000000",
        }
        for _ in range(count)
    ]
    scope = {"scope": {"name": "bench"}, "spans": spans}
    body = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}
    connection.json("POST", "/v1/traces", body)
