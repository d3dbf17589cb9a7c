"""What the metrics tell of the sync with Linear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tickets.clock import Clock
from tickets.db.database import Database

_INTEGRATIONS: Final = ("ok", "auth_failed", "off")


def sync_readings(db: Database, clock: Clock) -> Iterable[Metric]:
    """Return how many workspaces are connected, and what waits to be sent and to be applied."""
    with db.read() as tx:
        found = tx.many("integrations_linear.counts")
        queues = {
            "outbox": tx.one("sync_outbox.pending"),
            "inbox": tx.one("sync_inbox.pending"),
        }
        dead = tx.value("sync_outbox.dead_count")
    counts = {row["state"]: row["row_count"] for row in found}
    integrations = GaugeMetricFamily(
        "tickets_linear_integrations", "Workspaces with an integration.", labels=["state"]
    )
    for state in _INTEGRATIONS:
        integrations.add_metric([state], counts.get(state, 0))
    pending = GaugeMetricFamily(
        "tickets_linear_pending", "Rows that are to be sent or applied.", labels=["queue"]
    )
    oldest = GaugeMetricFamily(
        "tickets_linear_oldest_pending_seconds",
        "How long the oldest of them has been there, 0 without one.",
        labels=["queue"],
    )
    now_ms = clock.now_ms()
    for queue, row in queues.items():
        assert row is not None, "an aggregate has a row"
        pending.add_metric([queue], row["row_count"])
        since_ms = now_ms if row["oldest_ms"] is None else row["oldest_ms"]
        oldest.add_metric([queue], max(now_ms - since_ms, 0) / 1000)
    given_up = GaugeMetricFamily(
        "tickets_linear_given_up", "Changes that Linear refused or never took.", value=dead
    )
    return (integrations, pending, oldest, given_up)
