"""Metrics in the Prometheus text format, whole over all worker processes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import accumulate

from falcon import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tickets.web.auth import Access
from tickets.web.counters import LATENCY_BUCKETS_S, Row, shared
from tickets.web.endpoint import endpoint

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_BOUNDS = [floatToGoString(bound) for bound in (*LATENCY_BUCKETS_S, float("inf"))]  # type: ignore[no-untyped-call]  # theirs


class Metrics:
    """Counts the requests of one process; a scrape adds up those of all processes."""

    def __init__(self) -> None:
        self._counters = shared()
        self._read: list[Callable[[], Iterable[Metric]]] = []

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if method not in METHODS:
            # Clients may invent methods, and each label value is kept for ever.
            method = "other"
        self._counters.count(method, route, str(status), seconds)

    def add_reading(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Add gauges that are read at each scrape, such as the depth of a queue."""
        self._read.append(read)

    def scrape(self) -> bytes:
        """Return all metrics as text."""
        registry = CollectorRegistry()
        for read in (self._requests, *self._read):
            registry.register(_Reading(read))
        return generate_latest(registry)

    def _requests(self) -> Iterable[Metric]:
        counted = CounterMetricFamily(
            "tickets_http_requests",
            "Requests by method, route and status.",
            labels=["method", "route", "status"],
        )
        by_worker = CounterMetricFamily(
            "tickets_worker_requests",
            "Requests by worker process; one that is replaced hands its label on.",
            labels=["worker"],
        )
        requests: Counter[tuple[str, str, str]] = Counter()
        workers: Counter[str] = Counter()
        rows = list(self._counters.rows())
        for row in rows:
            requests[row.method, row.route, row.status] += sum(row.buckets)
            workers[str(row.table)] += sum(row.buckets)
        for labels, count in sorted(requests.items()):
            counted.add_metric(labels, count)
        for worker, count in sorted(workers.items()):
            by_worker.add_metric([worker], count)
        return (counted, by_worker, _timed(rows))


def _timed(rows: Iterable[Row]) -> Metric:
    timed = HistogramMetricFamily(
        "tickets_http_request_seconds",
        "Time to answer, by method and route; long polls included.",
        labels=["method", "route"],
    )
    buckets: dict[tuple[str, str], list[int]] = {}
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        key = (row.method, row.route)
        before = buckets.get(key, [0] * len(row.buckets))
        buckets[key] = [one + two for one, two in zip(before, row.buckets, strict=True)]
        seconds[key] += row.seconds
    for key, counts in sorted(buckets.items()):
        bounded = list(zip(_BOUNDS, accumulate(counts), strict=True))
        timed.add_metric(key, bounded, seconds[key])
    return timed


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
