"""Metrics in the Prometheus text format, whole over all worker processes."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

from falcon import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tickets.web.auth import Access
from tickets.web.counters import LATENCY_BUCKETS_S, Key, Row, shared
from tickets.web.endpoint import endpoint

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WRITE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_REQUESTS = "tickets_http_request_seconds"
_WRITES = "tickets_write_seconds"
_PHASES = tuple((_WRITES, phase) for phase in ("wait", "work", "commit"))
_WORKER_STARTS = "tickets_worker_starts"
_POLLS_REFUSED = "tickets_long_polls_refused"

_BOUNDS = [floatToGoString(bound) for bound in (*LATENCY_BUCKETS_S, float("inf"))]  # type: ignore[no-untyped-call]  # theirs


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric that counts. ``known`` are label values that are shown before they occur.

    A counter that is not there yet has no rate, so an alert on it would miss the first. One
    that ``is_timed`` has no label.
    """

    name: str
    text: str
    label: str | None = None
    known: tuple[str, ...] = ()
    is_timed: bool = False


_COUNTED = (
    Counted(_WORKER_STARTS, "Worker processes that were started."),
    Counted(_POLLS_REFUSED, "Requests that wanted to wait and found no place for it."),
)


class Metrics:
    """Counts for one process; a scrape adds up those of all processes."""

    def __init__(self, counted: Iterable[Counted] = ()) -> None:
        self._counters = shared()
        self._counted = (*_COUNTED, *counted)
        self._read: list[Callable[[], Iterable[Metric]]] = []

    def count(self, name: str, *labels: str) -> None:
        """Count one more in a metric that was declared."""
        self._counters.count((name, *labels))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block in a metric that was declared as timed."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self._counters.time(((name,), time.perf_counter() - began_s))

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if method not in METHODS:
            # Clients may invent methods, and each label value is kept for ever.
            method = "other"
        self._counters.time(((_REQUESTS, method, route, str(status)), seconds))

    def count_worker(self) -> None:
        """Count this process as one that serves."""
        self.count(_WORKER_STARTS)

    def count_refused_poll(self) -> None:
        """Count a request that wanted to wait and could not."""
        self.count(_POLLS_REFUSED)

    def wrote(self, moments: list[float], counts: list[tuple[Key, int]]) -> None:
        """Count a write block of the database: how long it took, and what it counted."""
        spans = [ended - began for began, ended in pairwise(moments)]
        self._counters.time(*zip(_PHASES, spans, strict=False))
        for key, times in counts:
            self._counters.count(key, times)

    def add_reading(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Add gauges that are read at each scrape, such as the depth of a queue."""
        self._read.append(read)

    def scrape(self) -> bytes:
        """Return all metrics as text."""
        registry = CollectorRegistry()
        for read in (self._own, *self._read):
            registry.register(_Reading(read))
        return generate_latest(registry)

    def _own(self) -> Iterable[Metric]:
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in self._counters.rows():
            rows[row.key[0]].append(row)
        yield from _requests(rows[_REQUESTS])
        yield _timed(
            _REQUESTS,
            "Time to answer, by method and route; long polls included.",
            ["method", "route"],
            rows[_REQUESTS],
        )
        yield _timed(
            _WRITES,
            "Time of writes, by phase: waiting for the gate, working, becoming durable.",
            ["phase"],
            rows[_WRITES],
        )
        for counted in self._counted:
            found = rows[counted.name]
            if counted.is_timed:
                yield _timed(counted.name, counted.text, [], found)
            else:
                yield _summed(counted, found)
        yield GaugeMetricFamily(
            "tickets_start_time_seconds",
            "When the service started, in seconds since 1970.",
            value=self._counters.started_s,
        )


def _requests(rows: list[Row]) -> Iterable[Metric]:
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
    requests: Counter[Key] = Counter()
    workers: Counter[str] = Counter()
    for row in rows:
        requests[row.key[1:]] += sum(row.buckets)
        workers[str(row.table)] += sum(row.buckets)
    for method, route, _ in list(requests):
        if method in WRITE_METHODS:
            # There before it occurs, because the first one is an alert.
            requests.setdefault((method, route, "507"), 0)
    for labels, count in sorted(requests.items()):
        counted.add_metric(labels, count)
    for worker, count in sorted(workers.items()):
        by_worker.add_metric([worker], count)
    return (counted, by_worker)


def _summed(counted: Counted, rows: list[Row]) -> Metric:
    family = CounterMetricFamily(
        counted.name, counted.text, labels=[] if counted.label is None else [counted.label]
    )
    known = [()] if counted.label is None else [(value,) for value in counted.known]
    sums: dict[Key, float] = dict.fromkeys(known, 0)
    for row in rows:
        sums[row.key[1:]] = sums.get(row.key[1:], 0) + row.sum
    for labels, value in sorted(sums.items()):
        family.add_metric(labels, value)
    return family


def _timed(name: str, text: str, labels: list[str], rows: list[Row]) -> Metric:
    """Return a histogram by the first so many labels of what was timed."""
    timed = HistogramMetricFamily(name, text, labels=labels)
    buckets: dict[Key, list[int]] = {}
    seconds: dict[Key, float] = defaultdict(float)
    for row in rows:
        key = row.key[1 : 1 + len(labels)]
        before = buckets.get(key, [0] * len(row.buckets))
        buckets[key] = [one + two for one, two in zip(before, row.buckets, strict=True)]
        seconds[key] += row.sum
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
