"""What a live lease token opens: its own run, its task, and the artifacts of its run."""

from __future__ import annotations

import hmac

from tickets.clock import Clock
from tickets.db.database import Row, Transaction
from tickets.errors import NotFound, Unauthorized
from tickets.tracker.domain.leases import check_usable


def check_run_reader(
    tx: Transaction, run_id: str, *, reader: bytes | None, now_ms: int
) -> None:
    """Return where the reader may see the run. ``reader`` None may see everything.

    Raises Unauthorized, whatever is wrong: a stranger does not learn which runs exist.
    """
    if reader is not None:
        _check(tx.one("leases.of_run", run_id=run_id), reader, now_ms)


def check_task_reader(
    tx: Transaction, task_id: str, *, reader: bytes | None, now_ms: int
) -> None:
    """Return where the reader may see the task, being its holder now. Raises Unauthorized."""
    if reader is not None:
        _check(tx.one("leases.active_of_task", task_id=task_id), reader, now_ms)


def _check(lease: Row | None, reader: bytes, now_ms: int) -> None:
    if (
        lease is None
        or lease["lease_status"] != "active"
        or lease["expires_at_ms"] <= now_ms
        or not hmac.compare_digest(lease["token_hash"], reader)
    ):
        raise Unauthorized


def lease_of_run(
    tx: Transaction, run_id: str, *, holder: bytes | None, clock: Clock
) -> tuple[Row, int]:
    """Return the lease under which ``holder`` may write to the run, and the time now.

    ``holder`` None is the operator. Raises NotFound (no lease, or the run is over),
    Unauthorized, LeaseExpired, in this order.
    """
    tx.hold("tasks.lock_of_run", run_id=run_id)
    now_ms = clock.now_ms()
    lease = tx.one("leases.of_run", run_id=run_id)
    if lease is None:
        raise NotFound("No active lease for this run")
    check_usable(lease, token_hash=holder, now_ms=now_ms)
    return lease, now_ms
