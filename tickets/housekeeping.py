"""What a serving process does besides requests: expiry, retention, the watchdog and more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tickets.clock import Clock
from tickets.config import Settings
from tickets.db.database import Collision, Database
from tickets.errors import TicketsError
from tickets.ledger.operations.watchdog import WatchdogOperations
from tickets.tracker.operations.readiness import Readiness, is_anything_due
from tickets.tracker.operations.retention import RetentionOperations

# How late a waiting agent may learn of an expiry or a retry that is due; two index probes.
READINESS_PERIOD_S = 0.1
RETENTION_PERIOD_S = 60.0

logger = logging.getLogger(__name__)


class Housekeeping:
    """A thread that starts with the first request of a process and ends with it.

    Every process has one. They need no agreement: each step is a transaction of its own
    that does what is due, which may be nothing.
    """

    def __init__(
        self, db: Database, clock: Clock, readiness: Readiness, settings: Settings
    ) -> None:
        self._db = db
        self._clock = clock
        self._readiness = readiness
        self._watchdog = WatchdogOperations(db, clock)
        self._retention = RetentionOperations(db, clock)
        self._settings = settings
        self._stopping = threading.Event()
        self._troubles: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._jobs: list[tuple[float, Callable[[], None]]] = []
        self.every(RETENTION_PERIOD_S, self.apply_retention)
        if settings.ledger_watchdog_interval_ms:
            self.every(settings.ledger_watchdog_interval_ms / 1000, self.watch)

    def every(self, period_s: float, work: Callable[[], None]) -> None:
        """Do ``work`` once in each period, from the start on, whatever came of it before."""
        self._jobs.append((period_s, work))

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its present step."""
        self._stopping.set()

    def _run(self) -> None:
        due_s = [0.0] * len(self._jobs)
        while not self._stopping.wait(READINESS_PERIOD_S):
            self.guarded(self.advance_readiness)
            self.guarded(self.tend)
            for index, (period_s, work) in enumerate(self._jobs):
                if due_s[index] <= time.monotonic():
                    due_s[index] = time.monotonic() + period_s
                    self.guarded(work)

    def guarded(self, work: Callable[[], None]) -> None:
        """Do ``work``; whatever goes wrong is logged, and the thread lives on."""
        name = work.__name__
        try:
            work()
        except Collision:
            # Somebody else was at the same; the next period sees what is left.
            pass
        except TicketsError as error:
            # A full disk or a locked database passes; the next period tries again, and says
            # nothing while it is still the same.
            if self._troubles.get(name) != error.code:
                logger.warning("%s: %s", name, error)
            self._troubles[name] = error.code
        except Exception:
            logger.exception("%s failed", name)
        else:
            if self._troubles.pop(name, None) is not None:
                logger.warning("%s: works again", name)

    def advance_readiness(self) -> None:
        """End expired leases and free due retries, a bounded step at a time."""
        with self._db.read() as tx:
            more = is_anything_due(tx, now_ms=self._clock.now_ms())
        while more and not self._stopping.is_set():
            with self._db.write() as tx:
                more = self._readiness.advance(tx, now_ms=self._clock.now_ms())

    def tend(self) -> None:
        """Do what the database wants done now and then, off the way of any request."""
        self._db.tend()

    def watch(self) -> None:
        """Mark what went quiet in the ledger."""
        self._watchdog.sweep_all()

    def apply_retention(self) -> None:
        """Delete what is past its retention."""
        settings, retention = self._settings, self._retention
        retention.prune_idempotency_keys(older_than_ms=settings.idempotency_retention_ms)
        if settings.changes_retention_ms is not None:
            retention.prune_changes(older_than_ms=settings.changes_retention_ms)
        if settings.trace_retention_ms is not None:
            retention.prune_traces(older_than_ms=settings.trace_retention_ms)
