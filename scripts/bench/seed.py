"""Fills a service with rows, through its API only."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from scripts.bench.connection import Address, Connection

Json = dict[str, Any]
T = TypeVar("T")

BATCH = 200
PRIORITIES = 5
SEED = 20_240
CONNECTIONS = 8
HOUR_MS = 3_600_000


def definition(role: str) -> Json:
    """Return the pipeline of all loads: one stage of work and its end."""
    return {
        "initial": "todo",
        "states": {"todo": {"agent_role": role}, "done": {"terminal": True}},
        "transitions": [{"from": "todo", "to": "done", "trigger": "complete"}],
    }


def pieces(total: int, size: int) -> Iterator[int]:
    """Yield whole pieces of at most ``size`` that add up to ``total``."""
    while total > 0:
        yield min(total, size)
        total -= size


class Backlog:
    """Tasks of a role of its own, and how many of them wait to be claimed."""

    def __init__(self, address: Address, name: str) -> None:
        # A service that is measured again keeps the pipelines of the last time.
        self.role = f"{name}-{time.time_ns():x}"
        self.address = address
        self.waiting = 0
        self._random = random.Random(SEED)
        with Connection(address) as connection:
            body = {"name": self.role, "definition": definition(self.role)}
            self.pipeline_id: str = connection.json("POST", "/pipelines", body)["id"]

    def task(self, **fields: Any) -> Json:
        """Return a new task's document."""
        return {
            "pipeline_id": self.pipeline_id,
            "title": f"Task {self._random.randrange(10**9)}",
            "description": "A task of the benchmark",
            "priority": self._random.randrange(PRIORITIES),
            **fields,
        }

    def bulk(self, count: int = BATCH, **fields: Any) -> bytes:
        """Return the body that creates so many tasks."""
        return json.dumps({"tasks": [self.task(**fields) for _ in range(count)]}).encode()

    def fill(self, until: int) -> None:
        """Create tasks until so many wait."""
        for _ in self.created(until - self.waiting):
            pass
        self.waiting = max(self.waiting, until)

    def create(self, count: int, **fields: Any) -> list[str]:
        """Create tasks that are not counted as waiting; return their ids."""
        return [task_id for batch in self.created(count, **fields) for task_id in batch]

    def created(self, count: int, **fields: Any) -> Iterator[list[str]]:
        """Create tasks; yield the ids of each batch."""
        with Connection(self.address) as connection:
            for size in pieces(count, BATCH):
                tasks = {"tasks": [self.task(**fields) for _ in range(size)]}
                yield connection.json("POST", "/tasks/bulk", tasks)["ids"]


def claim_many(connection: Connection, role: str, count: int) -> list[Json]:
    """Claim so many tasks that are there."""
    claims: list[Json] = []
    while len(claims) < count:
        body = {
            "agent_id": "bench",
            "agent_role": role,
            "lease_ttl_ms": 4 * HOUR_MS,
            "max_tasks": min(100, count - len(claims)),
        }
        claims += connection.json("POST", "/leases/claim", body)["claims"]
    return claims


def on_run(connection: Connection, claim: Json, part: str, body: Json) -> None:
    """Post to a claimed run with its token."""
    path = f"/runs/{claim['run']['id']}/{part}"
    connection.json("POST", path, body, claim["lease_token"])


def over_connections(
    address: Address, items: Sequence[T], do: Callable[[Connection, T], object]
) -> None:
    """Do something with every item, over several connections."""

    def work(share: Sequence[T]) -> None:
        with Connection(address) as connection:
            for item in share:
                do(connection, item)

    shares = [items[first::CONNECTIONS] for first in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for future in [pool.submit(work, share) for share in shares]:
            future.result()


def put_in_front(backlog: Backlog, count: int) -> None:
    """Create tasks that a claim must pass over: ``count`` each of three kinds, all urgent."""
    urgent = PRIORITIES + 5
    delayed = {"max_attempts": 5, "retry_delay_ms": 24 * HOUR_MS}
    backlog.create(count, priority=urgent, retry_policy=delayed)
    with Connection(backlog.address) as connection:
        claims = claim_many(connection, backlog.role, count)
    over_connections(
        backlog.address, claims, lambda c, claim: on_run(c, claim, "fail", {"error": "later"})
    )
    [blocker] = backlog.create(1, assigned_agent_id="nobody")
    backlog.create(count, priority=urgent, dependencies=[blocker])
    backlog.create(count, priority=urgent, assigned_agent_id="somebody-else")
