"""``/ops/queue``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.tracker.domain.documents import QueueQuery
from tickets.tracker.domain.records import Queue
from tickets.tracker.operations.queue import QueueOperations
from tickets.web.endpoint import endpoint


class QueueStatistics:
    """HTTP for the state of the queue."""

    def __init__(self, queue: QueueOperations) -> None:
        self._queue = queue

    @endpoint("Count what waits for each role", query=QueueQuery, answer=Queue)
    def on_get(self, _req: Request, _resp: Response, query: QueueQuery) -> Queue:
        """``GET /ops/queue?near_expiry_ms=&stuck_ms=`` → 200 ``{"roles": [...], …}``.

        Of a role's tasks each is claimable, scheduled, blocked, leased or dead-lettered;
        ``assigned_count`` are the claimable ones that are reserved for one agent. The age
        of the oldest counts since it was created, so a stage that comes late in a pipeline
        shows the time of all stages. Leases that end within ``near_expiry_ms`` are near
        expiry, runs that are ``stuck_ms`` old are stuck.
        """
        return self._queue.statistics(query)
