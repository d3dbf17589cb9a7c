"""Gauges that are read at each scrape of the metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tickets.db.database import Database
from tickets.tracker.domain.documents import QueueQuery
from tickets.tracker.operations.queue import QueueOperations


def tracker_readings(db: Database, queue: QueueOperations) -> Iterable[Metric]:
    """Return the depth of each role's queue and the size of the write-ahead log."""
    tasks = GaugeMetricFamily(
        "tickets_tasks",
        "Tasks in stages of a role, by what they wait for.",
        labels=["role", "state"],
    )
    for role in queue.statistics(QueueQuery()).roles:
        for state in ("claimable", "blocked", "scheduled", "leased", "dead_letter"):
            tasks.add_metric([role.role, state], getattr(role, f"{state}_count"))
    yield tasks
    yield GaugeMetricFamily(
        "tickets_wal_bytes", "Size of the write-ahead log.", value=db.wal_bytes()
    )
