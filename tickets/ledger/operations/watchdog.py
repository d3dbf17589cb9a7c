"""The watchdog: tasks that went quiet are marked, and somebody is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.ledger.domain.documents import SweepRequest
from tickets.ledger.domain.records import Swept
from tickets.ledger.operations.refusals import translated
from tickets.ledger.operations.store import TxStore
from tickets.sqlite_task_ledger import rules
from tickets.sqlite_task_ledger.deliveries import Message
from tickets.sqlite_task_ledger.staleness import (
    DEFAULT_THRESHOLDS_MS,
    STALE,
    WATCHDOG,
    effective_thresholds,
    named_durations,
)
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE
from tickets.sqlite_task_ledger.store import Store
from tickets.sqlite_task_ledger.sweeping import swept

# Tasks that one sweep writes at most; the next one goes on.
SWEEP_TASKS: Final = 1_000
ALERT_COOLDOWN_MS: Final = 900_000

logger = logging.getLogger(__name__)


class WatchdogOperations:
    """Sweeps over what clients report; what the service reports itself is left alone."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def sweep(self, document: SweepRequest, *, scope: str | None) -> Swept:
        """Mark what a client sees. Raises InvalidState."""
        return self._sweep(document, lambda tx: TxStore(tx, watched=True, scope=scope))

    def sweep_all(self) -> Swept:
        """Mark what went quiet in any workspace, and log who did, not too often for each."""
        report = self._sweep(
            SweepRequest(), lambda tx: TxStore(tx, watched=True, sees_all=True)
        )
        for req in report.items:
            self._alert(req)
        return report

    def _sweep(self, document: SweepRequest, store_of: Callable[..., Store]) -> Swept:
        with translated():
            thresholds = effective_thresholds(
                DEFAULT_MACHINE, DEFAULT_THRESHOLDS_MS, document.thresholds
            )
            timeouts = named_durations(DEFAULT_MACHINE, "timeouts", document.timeouts)
        with self._db.read() as tx:
            found = rules.find_overdue(
                store_of(tx),
                thresholds,
                timeouts,
                now_ms=self._clock.now_ms(),
                limit=SWEEP_TASKS,
                machine=DEFAULT_MACHINE,
            )
        report = swept(
            found,
            self._writing,
            clock=self._clock.now_ms,
            actor=WATCHDOG,
            mark=document.mark is not False,
            machine=DEFAULT_MACHINE,
        )
        return Swept(
            checked=report.checked,
            marked=report.marked,
            timed_out=report.timed_out,
            skipped=report.skipped,
            items=list(report.reqs),
        )

    def _writing(self) -> AbstractContextManager[Store]:
        return self._store_to_write()

    @contextmanager
    def _store_to_write(self) -> Iterator[Store]:
        with self._db.write() as tx:
            yield TxStore(tx)

    def _alert(self, req: str) -> None:
        message = Message(
            machine=DEFAULT_MACHINE,
            channel=WATCHDOG,
            req=req,
            state=STALE,
            cooldown_ms=ALERT_COOLDOWN_MS,
        )
        with self._db.write() as tx:
            decision = rules.deliver(TxStore(tx), message, now_ms=self._clock.now_ms())
        if decision.allowed:
            logger.warning("ledger: %s went quiet", req)
