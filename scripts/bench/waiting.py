"""Agents that wait for tasks, and what they cost everybody else."""

from __future__ import annotations

import json
import selectors
import threading
import time
from dataclasses import dataclass
from typing import Self

from scripts.bench.connection import Address, Connection
from scripts.bench.outcome import Outcome
from scripts.bench.results import Result, Row
from scripts.bench.rounds import Bench
from scripts.bench.seed import Backlog
from scripts.bench.service import serving

WAIT_MS = 60_000
# An agent whom nobody lets wait asks again after so long.
PAUSE_S = 1.0
PROBERS = 4
SETTLE_S = 1.0
_TICK_S = 0.05


@dataclass
class _Waiter:
    connection: Connection
    asked_s: float = 0.0
    again_s: float | None = None


class Waiters:
    """Agents with a long poll each, kept open by one thread."""

    def __init__(self, address: Address, count: int, role: str) -> None:
        body = {"agent_id": "waiter", "agent_role": role, "wait_ms": WAIT_MS}
        self._body = json.dumps(body).encode()
        self._selector = selectors.DefaultSelector()
        self._waiters = [_Waiter(Connection(address)) for _ in range(count)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent_away = 0

    def __enter__(self) -> Self:
        for waiter in self._waiters:
            self._selector.register(waiter.connection, selectors.EVENT_READ, waiter)
            self._ask(waiter)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for waiter in self._waiters:
            waiter.connection.close()
        self._selector.close()

    def waiting(self) -> int:
        """Return how many wait at this moment."""
        return sum(waiter.again_s is None for waiter in self._waiters)

    def _run(self) -> None:
        while not self._stopped.is_set():
            for key, _ in self._selector.select(_TICK_S):
                self._answered(key.data)
            now_s = time.monotonic()
            for waiter in self._waiters:
                if waiter.again_s is not None and waiter.again_s <= now_s:
                    self._ask(waiter)

    def _ask(self, waiter: _Waiter) -> None:
        waiter.asked_s, waiter.again_s = time.monotonic(), None
        waiter.connection.send("POST", "/leases/claim", self._body)

    def _answered(self, waiter: _Waiter) -> None:
        waiter.connection.receive()
        now_s = time.monotonic()
        is_early = now_s - waiter.asked_s < WAIT_MS / 1000 - 1
        self.sent_away += is_early
        waiter.again_s = now_s + (PAUSE_S if is_early else 0)


def probe(backlog: Backlog, seconds: float) -> Outcome:
    """Ask for the service's health and create tasks in turn, over a few connections."""
    outcomes = [Outcome(seconds) for _ in range(PROBERS)]
    body = json.dumps(backlog.task()).encode()

    def work(outcome: Outcome) -> None:
        ends_s = time.monotonic() + seconds
        with Connection(backlog.address) as connection:
            while time.monotonic() < ends_s:
                for kind, method, path, data, wanted in (
                    ("health", "GET", "/health", b"", 200),
                    ("create", "POST", "/tasks", body, 201),
                ):
                    begun_s = time.perf_counter()
                    status, _ = connection.ask(method, path, data)
                    took_us = round((time.perf_counter() - begun_s) * 1_000_000)
                    if status == wanted:
                        outcome.times_us.setdefault(kind, []).append(took_us)
                    else:
                        outcome.errors[f"{kind} {status}"] += 1

    threads = [threading.Thread(target=work, args=(outcome,)) for outcome in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome.side_by_side(outcomes)


def waiting(bench: Bench) -> Result:
    """What agents that wait cost: the time of other requests, and the processor's."""
    count, seconds = bench.sizes.waiters, bench.sizes.wait_seconds
    with serving(bench.chosen) as service:
        others = Backlog(service.address, "others")
        awaited = Backlog(service.address, "awaited")
        # Warm.
        probe(others, seconds / 4)
        service.settle(bench.sizes.settle_seconds)
        cpu_alone = service.cpu_percent(seconds)
        alone = probe(others, seconds)
        with Waiters(service.address, count, awaited.role) as waiters:
            time.sleep(min(SETTLE_S, seconds))
            service.settle(bench.sizes.settle_seconds)
            cpu_waiting = service.cpu_percent(seconds)
            at_once = waiters.waiting()
            beside = probe(others, seconds)
    name = f"{count} agents waiting"
    return Result(
        [
            Row("p99 of other requests, nobody waiting", alone.ms(99), "ms"),
            Row(f"p99 of other requests, {name}", beside.ms(99), "ms", 50, at_most=True),
            Row(f"CPU of {name}, of a core", cpu_waiting, "%", 5, at_most=True),
        ],
        {
            "alone": alone.summary(),
            "beside": beside.summary(),
            "cpu_percent_alone": cpu_alone,
            "cpu_percent_waiting": cpu_waiting,
            "waiting_at_once": at_once,
            "sent_away": waiters.sent_away,
        },
    )
