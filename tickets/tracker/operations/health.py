"""Health: whether the service works, and how much it holds."""

from __future__ import annotations

from collections.abc import Callable

from tickets import __version__
from tickets.clock import Clock
from tickets.db.database import Database
from tickets.db.migrations import MigrationError
from tickets.errors import Busy
from tickets.tracker.domain.records import Health, Ready, StageCount


class HealthOperations:
    """What monitors ask."""

    def __init__(
        self, db: Database, clock: Clock, *, pending_migrations: Callable[[], list[str]]
    ) -> None:
        self._db = db
        self._clock = clock
        self._pending_migrations = pending_migrations

    def health(self) -> Health:
        """Return counts of tasks by stage name and of live leases."""
        with self._db.read() as tx:
            engine = self._db.engine
            return Health(
                status="ok",
                version=__version__,
                tasks_by_stage=[
                    StageCount(stage=row["stage"], count=row["task_count"])
                    for row in tx.many("tasks.count_by_stage")
                ],
                active_leases=tx.value("leases.count_live", now_ms=self._clock.now_ms()),
                **{f"{engine.name}_version": engine.version},
            )

    def ready(self) -> Ready:
        """Return where the database answers and its schema is current. Raises Busy."""
        self._db.ping()
        try:
            pending = self._pending_migrations()
        except MigrationError as error:
            # Another host brought a newer version along; this one may be stopped now.
            raise Busy(str(error)) from error
        if pending:
            raise Busy(f"Migrations are pending: {', '.join(pending)}; run tickets migrate")
        return Ready(status="ready")
