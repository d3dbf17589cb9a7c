"""``/health`` and ``/ready``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Busy
from tickets.tracker.domain.records import Health, Ready
from tickets.tracker.operations.health import HealthOperations
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint


class HealthItem:
    """HTTP for whether the service works."""

    def __init__(self, health: HealthOperations) -> None:
        self._health = health

    @endpoint("See that the service works", answer=Health, access=Access.PUBLIC)
    def on_get(self, _req: Request, _resp: Response) -> Health:
        """``GET /health`` → 200 with tasks by stage and live leases."""
        return self._health.health()


class ReadyItem:
    """HTTP for whether the service may be sent requests."""

    def __init__(self, health: HealthOperations) -> None:
        self._health = health

    @endpoint(
        "See that the database answers and is current",
        answer=Ready,
        errors=(Busy,),
        access=Access.PUBLIC,
    )
    def on_get(self, _req: Request, _resp: Response) -> Ready:
        """``GET /ready`` → 200 ``{"status": "ready"}``, else 503."""
        return self._health.ready()
