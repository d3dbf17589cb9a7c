"""How the sync of each workspace goes: kept for its people; the log hears when it turns."""

from __future__ import annotations

import logging
from typing import Final

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.lifecycle.linear.errors import KeyRefused, LinearFailure
from tickets.lifecycle.operations.mirrors import Integration

# A busy workspace has many successes in a second; one of them is enough to know of.
FRESH_MS: Final = 1_000

logger = logging.getLogger(__name__)


class SyncHealth:
    """Notes what came of calls to Linear, each time in a transaction of its own.

    All who call share what is kept, so of any number of threads and processes one tells the log
    that a workspace's sync fails, and one that it works again.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def failed(self, integration: Integration, failure: LinearFailure) -> None:
        """Note a call that brought nothing."""
        # What Linear says may hold line breaks, which end a line of the log.
        text = " ".join(str(failure).split())
        with self._db.write() as tx:
            noted = {
                "workspace_id": integration.workspace_id,
                "api_key": integration.sealed_key,
                "last_error": text,
                "now_ms": self._clock.now_ms(),
            }
            is_news = tx.run(
                "integrations_linear.begin_failing",
                is_news=int(isinstance(failure, KeyRefused)),
                **noted,
            )
            if not is_news:
                tx.run("integrations_linear.go_on_failing", **noted)
        if is_news:
            logger.warning(
                "sync of workspace %s with Linear fails: %s", integration.workspace_id, text
            )

    def worked(self, workspace_id: str) -> None:
        """Note a call that Linear answered as it should."""
        with self._db.read() as tx:
            row = tx.one("integrations_linear.health", workspace_id=workspace_id)
            now_ms = self._clock.now_ms()
        if row is None:
            return
        last_ms = row["last_success_at_ms"]
        is_fresh = last_ms is not None and 0 <= now_ms - last_ms < FRESH_MS
        if is_fresh and row["last_error"] is None:
            return
        with self._db.write() as tx:
            is_news = tx.run("integrations_linear.end_failing", workspace_id=workspace_id)
            tx.run(
                "integrations_linear.succeed",
                workspace_id=workspace_id,
                now_ms=self._clock.now_ms(),
            )
        if is_news:
            logger.warning("sync of workspace %s with Linear works again", workspace_id)
