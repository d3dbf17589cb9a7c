"""The thread that talks to Linear, so that no request and no lease ever waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from tickets.clock import Clock
from tickets.db.database import Collision, Database
from tickets.errors import TicketsError
from tickets.lifecycle.operations.inbox import Inbox
from tickets.lifecycle.operations.integrations import IntegrationOperations
from tickets.lifecycle.operations.pruning import prune
from tickets.lifecycle.operations.pushing import Pushing, Taken
from tickets.lifecycle.operations.reconcile import Reconcile

PERIOD_S: Final = 0.25
PARALLEL: Final = 4
# How often somebody should call ``prune``.
PRUNING_PERIOD_S: Final = 60.0

logger = logging.getLogger(__name__)


class SyncWorker:
    """A thread that decides what is due and a few that wait for Linear.

    Every process has one. They need no agreement: what one of them takes the others do not
    find.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        pushing: Pushing,
        inbox: Inbox,
        reconcile: Reconcile,
        integrations: IntegrationOperations,
    ) -> None:
        self._db = db
        self._clock = clock
        self._pushing = pushing
        self._inbox = inbox
        self._reconcile = reconcile
        self._integrations = integrations
        self._stopping = threading.Event()
        self._troubles: dict[str, str] = {}
        self._sending: set[Future[None]] = set()
        self._reading: Future[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="linear", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread soon; what is in flight is sent again by whoever runs next."""
        self._stopping.set()

    def prune(self) -> None:
        """Forget what is over and long ago."""
        prune(self._db, self._clock.now_ms())

    def _run(self) -> None:
        pool = ThreadPoolExecutor(PARALLEL + 1, thread_name_prefix="linear")
        try:
            self._guarded("seal", self._integrations.seal_stored)
            while not self._stopping.wait(PERIOD_S):
                self._guarded("round", lambda: self._round(pool))
        finally:
            # Not waited for: a request to Linear may take ten seconds.
            pool.shutdown(wait=False, cancel_futures=True)

    def _round(self, pool: ThreadPoolExecutor) -> None:
        with self._db.read() as tx:
            if tx.value("integrations_linear.any") is None:
                return
        self._inbox.apply_due()
        self._sending = {each for each in self._sending if not each.done()}
        free = PARALLEL - len(self._sending)
        if free > 0 and self._pushing.is_anything_due():
            for taken in self._pushing.take(free):
                self._sending.add(pool.submit(self._push, taken))
        if self._reading is None or self._reading.done():
            self._reading = pool.submit(self._read)

    def _push(self, taken: Taken) -> None:
        self._guarded("push", lambda: self._pushing.push(taken))

    def _read(self) -> None:
        self._guarded("poll", self._reconcile.poll_due)
        self._guarded("pull", self._reconcile.pull_due)

    def _guarded(self, name: str, work: Callable[[], object]) -> None:
        """Do ``work``; what goes wrong is logged once, and the next period tries again.

        ``work`` that returns 0 had nothing to do, which says nothing about the trouble.
        """
        try:
            count = work()
        except Collision:
            # Somebody else was at the same.
            pass
        except TicketsError as error:
            if self._troubles.get(name) != error.code:
                logger.warning("sync with Linear (%s): %s", name, error)
            self._troubles[name] = error.code
        except Exception:
            logger.exception("sync with Linear failed")
        else:
            if count != 0 and self._troubles.pop(name, None) is not None:
                logger.warning("sync with Linear (%s): works again", name)
