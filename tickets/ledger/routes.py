"""Every path of the ledger, in the order of docs/api.md."""

from __future__ import annotations

from dataclasses import dataclass

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.ledger.operations.deliveries import DeliveryOperations
from tickets.ledger.operations.events import LedgerEventOperations
from tickets.ledger.operations.tasks import LedgerTaskOperations
from tickets.ledger.operations.watchdog import WatchdogOperations
from tickets.ledger.resources import events, tasks
from tickets.ledger.resources.deliveries import DeliveryCollection, DeliveryFail
from tickets.web.routes import Route


@dataclass(frozen=True, slots=True)
class LedgerOperations:
    """The ledger's operations, one object for each family."""

    events: LedgerEventOperations
    tasks: LedgerTaskOperations
    watchdog: WatchdogOperations
    deliveries: DeliveryOperations


def build_ledger(db: Database, clock: Clock) -> LedgerOperations:
    """Build all operations on one database and one clock."""
    return LedgerOperations(
        events=LedgerEventOperations(db, clock),
        tasks=LedgerTaskOperations(db, clock),
        watchdog=WatchdogOperations(db, clock),
        deliveries=DeliveryOperations(db, clock),
    )


def ledger_routes(do: LedgerOperations) -> list[Route]:
    """Return the ledger's routes."""
    return [
        Route("/ledger/events", events.LedgerEventCollection(do.events)),
        Route("/ledger/events/bulk", events.LedgerEventBulk(do.events)),
        Route("/ledger/tasks", tasks.LedgerTaskCollection(do.tasks)),
        Route("/ledger/tasks/{req}", tasks.LedgerTaskItem(do.tasks)),
        Route("/ledger/tasks/{req}/events", events.LedgerTaskEvents(do.events)),
        Route("/ledger/tasks/{req}/touch", events.LedgerTaskTouch(do.events)),
        Route("/ledger/stale", tasks.StaleTasks(do.tasks)),
        Route("/ledger/watchdog/sweep", tasks.WatchdogSweep(do.watchdog)),
        Route("/ledger/deliveries", DeliveryCollection(do.deliveries)),
        Route("/ledger/deliveries/{delivery_id}/fail", DeliveryFail(do.deliveries)),
        Route("/ledger/verify", tasks.LedgerVerify(do.tasks)),
        Route("/ledger/rebuild", tasks.LedgerRebuild(do.tasks)),
    ]
