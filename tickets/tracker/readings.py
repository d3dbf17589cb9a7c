"""What the metrics tell of the tracker: counts, and gauges that are read at each scrape."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tickets import __version__
from tickets.db.database import Database
from tickets.tracker.domain.documents import QueueQuery
from tickets.tracker.domain.records import RoleQueue
from tickets.tracker.operations import facts
from tickets.tracker.operations.queue import QueueOperations
from tickets.web.metrics import Counted

# Roles are no labels here: whoever may claim may invent them, and a count is kept for ever.
COUNTED = (
    Counted(facts.CLAIMS, "Answered claims, by outcome.", "outcome", facts.CLAIM_OUTCOMES),
    Counted(
        facts.CLAIM_TIME,
        "Time of one look for tasks, without waiting for any.",
        is_timed=True,
    ),
    Counted(facts.FACTS, "Facts that were committed, by kind.", "kind", facts.KINDS),
    Counted(
        facts.EXPIRIES,
        "Leases that ran out, and whether it was charged as a failure.",
        "charged",
        ("false", "true"),
    ),
    Counted(
        facts.RETRIES,
        "Failed or expired runs whose task is tried again, by reason.",
        "reason",
        facts.RETRY_REASONS,
    ),
)


def tracker_readings(db: Database, queue: QueueOperations) -> Iterable[Metric]:
    """Return the state of each role's queue, and of the database."""
    yield from _queue_readings(queue.statistics(QueueQuery()).roles)
    for name, text, value in db.readings():
        yield GaugeMetricFamily(name, text, value=value)
    engine = db.engine
    build = GaugeMetricFamily(
        "tickets_build_info", "What runs, as labels.", labels=["version", engine.name, "python"]
    )
    build.add_metric([__version__, engine.version, platform.python_version()], 1)
    yield build


def _queue_readings(roles: list[RoleQueue]) -> Iterable[Metric]:
    tasks = GaugeMetricFamily(
        "tickets_tasks",
        "Tasks in stages of a role, by what they wait for.",
        labels=["role", "state"],
    )
    age = GaugeMetricFamily(
        "tickets_oldest_claimable_seconds",
        "Age of the oldest claimable task of a role since it was created; 0 without one.",
        labels=["role"],
    )
    overdue = GaugeMetricFamily(
        "tickets_leases_overdue",
        "Leases of a role that ran out and were not swept yet.",
        labels=["role"],
    )
    for role in roles:
        for state in ("claimable", "blocked", "scheduled", "leased", "dead_letter"):
            tasks.add_metric([role.role, state], getattr(role, f"{state}_count"))
        age.add_metric([role.role], (role.oldest_claimable_age_ms or 0) / 1000)
        overdue.add_metric([role.role], role.expired_leases)
    return (tasks, age, overdue)
