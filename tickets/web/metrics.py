"""Metrics in the Prometheus text format, whole over all worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from falcon import Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from tickets.web.auth import Access
from tickets.web.endpoint import endpoint

# Bounds in seconds, dense where a request of this service usually is.
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The counters of one process; a scrape adds up those of all processes.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set (the server sets it), counters live in files of
    that directory, one for each process.
    """

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self._requests = Counter(
            "tickets_http_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=self._own,
        )
        self._seconds = Histogram(
            "tickets_http_request_seconds",
            "Time to answer, by method and route; long polls included.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._own,
        )
        self._read: list[Callable[[], Iterable[Metric]]] = []

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if method not in METHODS:
            # Clients may invent methods, and each label value is kept for ever.
            method = "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def add_reading(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Add gauges that are read at each scrape, such as the depth of a queue."""
        self._read.append(read)

    def scrape(self) -> bytes:
        """Return all metrics as text."""
        registry = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # theirs
        else:
            registry.register(_Reading(self._own.collect))
        for read in self._read:
            registry.register(_Reading(read))
        return generate_latest(registry)


class _Reading(Collector):
    """A function as a collector."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this moment."""
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """Promise nothing, so that registering reads nothing."""
        return ()


class MetricsItem:
    """HTTP for metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @endpoint(
        "Read metrics in the Prometheus text format",
        answer=str,
        media_type="text/plain",
        access=Access.API,
    )
    def on_get(self, _req: Request, resp: Response) -> bytes:
        """``GET /metrics`` → 200 text."""
        resp.content_type = CONTENT_TYPE_LATEST
        return self._metrics.scrape()
