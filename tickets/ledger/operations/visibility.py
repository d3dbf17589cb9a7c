"""Who may see what: rows of a workspace are there for requests that name it, and no others."""

from __future__ import annotations

from collections.abc import Callable

from tickets.db.database import Transaction
from tickets.errors import TaskNotFound
from tickets.ledger.operations.store import snapshot_of
from tickets.sqlite_task_ledger.snapshots import Snapshot


def visible(tx: Transaction, req: str, *, scope: str | None) -> Snapshot:
    """Return where a req stands. Raises TaskNotFound, also where it is not to be seen."""
    row = tx.one("task_state_snapshot.get", req=req)
    if row is None or row["scope"] not in (None, scope):
        raise TaskNotFound("The ledger has no event of this req")
    return snapshot_of(row)


def sees(scope: str | None) -> Callable[[str | None], bool]:
    """Return whether a request that names ``scope`` sees rows of some scope."""
    return lambda of_row: of_row in (None, scope)
