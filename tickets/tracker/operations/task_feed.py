"""What happens to tasks, told to the ledger in the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tickets.db.database import Transaction
from tickets.ledger.domain.facts import Fact
from tickets.ledger.domain.reserved import TASK_PREFIX
from tickets.ledger.operations.feed import LedgerFeed, opening
from tickets.sqlite_task_ledger.events import is_req
from tickets.sqlite_task_ledger.snapshots import Snapshot
from tickets.tracker.domain.outcomes import Outcome

SOURCE: Final = "tracker"

_ENDS: Final[dict[Outcome, str]] = {
    "done": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
# What becomes of a task that is held, which it stays.
_HELD: Final = {"QUEUED": "BLOCKED", "RETRYING": "BLOCKED"}
# Only facts of a task that is at work again begin a new life; others come too late for it.
_BEGINNINGS: Final = frozenset({"claimed", "requeued"})
# Ids of the service never hold it; a task of another tracker whose id does has one life.
_ODD: Final = ":"


class TaskFeed:
    """The facts of tasks as the ledger's events. The caller holds the task.

    A task may be taken up again after its end: by a requeue, or where a terminal or dead-letter
    stage has a role. A req ends for good, so that is the next one: ``task:<id>:2`` and so on.

    Source: docs/ledger.md, The service's own events.
    """

    def __init__(self, ledger: LedgerFeed) -> None:
        self._ledger = ledger

    def births(self, tasks: Iterable[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
        """Return what ``born`` writes of new tasks: id, stage and who gave it, of each."""
        if not self._ledger.is_on:
            return []
        return [
            opening(
                req := f"{TASK_PREFIX}{task_id}",
                source=SOURCE,
                actor=assigned_by or "api",
                stage=stage,
                event_id=f"{req}:0:created:1",
            )
            for task_id, stage, assigned_by in tasks
        ]

    def born(self, tx: Transaction, births: Sequence[dict[str, Any]], *, now_ms: int) -> None:
        """New tasks."""
        self._ledger.open_many(tx, births, now_ms=now_ms)

    def claimed(
        self,
        tx: Transaction,
        task: dict[str, Any],
        *,
        run_id: str,
        agent_id: str,
        now_ms: int,
    ) -> None:
        """A lease was granted."""
        self._tell(
            tx,
            task["id"],
            "claimed",
            "RUNNING",
            run_id=run_id,
            version=task["task_version"],
            actor=agent_id,
            stage=task["stage"],
            data={"run_id": run_id, "attempt": task["last_attempt"]},
            now_ms=now_ms,
        )

    def alive(self, tx: Transaction, task_id: str, *, since_ms: int, now_ms: int) -> None:
        """A heartbeat, or an event of a run, whose claim was told at ``since_ms``."""
        if not self._ledger.is_on or now_ms - since_ms < self._ledger.heartbeat_min_interval_ms:
            return
        req = f"{TASK_PREFIX}{task_id}"
        if not self._ledger.alive(tx, req, source=SOURCE, now_ms=now_ms):
            later = self._later_life(tx, req)
            if later is not None:
                self._ledger.alive(tx, later, source=SOURCE, now_ms=now_ms)

    def moved(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        version: int,
        stage: str,
        outcome: Outcome | None,
        now_ms: int,
    ) -> None:
        """A transition; ``outcome`` is how the task has ended, None where it goes on."""
        self._tell(
            tx,
            task_id,
            "moved",
            "QUEUED" if outcome is None else _ENDS[outcome],
            run_id=run_id,
            version=version,
            stage=stage,
            now_ms=now_ms,
        )

    def released(
        self, tx: Transaction, task_id: str, *, run_id: str, reason: str | None, now_ms: int
    ) -> None:
        """A run was given back."""
        self._tell(
            tx, task_id, "released", "QUEUED", run_id=run_id, message=reason, now_ms=now_ms
        )

    def retrying(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        error: str | None,
        next_eligible_at_ms: int,
        now_ms: int,
    ) -> None:
        """A run failed, and another will follow."""
        self._tell(
            tx,
            task_id,
            "retrying",
            "RETRYING",
            run_id=run_id,
            message=error,
            data={"run_id": run_id, "next_eligible_at_ms": next_eligible_at_ms},
            now_ms=now_ms,
        )

    def expired(self, tx: Transaction, task_id: str, *, run_id: str, now_ms: int) -> None:
        """A lease ran out."""
        data = {"run_id": run_id}
        self._tell(tx, task_id, "expired", "STALE", run_id=run_id, data=data, now_ms=now_ms)

    def dead_lettered(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        stage: str,
        error: str | None,
        reason: str,
        now_ms: int,
    ) -> None:
        """The task was given up."""
        self._tell(
            tx,
            task_id,
            "dead_lettered",
            "FAILED",
            run_id=run_id,
            stage=stage,
            message=error,
            data={"reason": reason},
            now_ms=now_ms,
        )

    def withdrawn(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str | None,
        version: int,
        reason: str | None,
        now_ms: int,
    ) -> None:
        """The task was called off."""
        self._tell(
            tx,
            task_id,
            "withdrawn",
            "CANCELLED",
            run_id=run_id,
            version=version,
            message=reason,
            now_ms=now_ms,
        )

    def requeued(
        self, tx: Transaction, task_id: str, *, version: int, stage: str, now_ms: int
    ) -> None:
        """The task was taken out of the dead letter."""
        self._tell(
            tx, task_id, "requeued", "QUEUED", version=version, stage=stage, now_ms=now_ms
        )

    def held(
        self, tx: Transaction, task_id: str, *, version: int, reason: str | None, now_ms: int
    ) -> None:
        """The task may not be claimed until it is let go."""
        # It may happen again before the version grows, so the moment is part of the name.
        fact = f"held-{now_ms}"
        self._tell(tx, task_id, fact, "BLOCKED", version=version, message=reason, now_ms=now_ms)

    def let_go(
        self, tx: Transaction, task_id: str, *, version: int, is_running: bool, now_ms: int
    ) -> None:
        """A held task may go on; ``is_running`` where a lease is still there."""
        state = "RUNNING" if is_running else "QUEUED"
        fact = f"let_go-{now_ms}"
        self._tell(tx, task_id, fact, state, version=version, heeds_hold=False, now_ms=now_ms)

    def _tell(
        self,
        tx: Transaction,
        task_id: str,
        fact: str,
        state: str,
        *,
        now_ms: int,
        run_id: str | None = None,
        version: int = 0,
        actor: str | None = None,
        stage: str | None = None,
        message: str | None = None,
        data: dict[str, Any] | None = None,
        heeds_hold: bool = True,
    ) -> None:
        """Tell a fact of a task, which may be held; most facts leave it so."""
        if not self._ledger.is_on:
            return
        req = f"{TASK_PREFIX}{task_id}"
        told = Fact(
            req,
            state,
            now_ms,
            SOURCE,
            actor,
            stage,
            message,
            data,
            f"{req}:{run_id or 0}:{fact}:{version}",
        )
        if not self._ledger.step(tx, told, unless="BLOCKED"):
            self._tell_otherwise(tx, told, fact, heeds_hold=heeds_hold)

    def _tell_otherwise(
        self, tx: Transaction, told: Fact, what: str, *, heeds_hold: bool
    ) -> None:
        """Tell a fact that is not the next step of the task's first life."""
        before = self._present(tx, told.req)
        if before is not None and before.is_terminal:
            if what not in _BEGINNINGS or _ODD in told.req[len(TASK_PREFIX) :]:
                return
            told, before = _renamed(told, _next_life(before.req)), None
        elif before is not None:
            told = _renamed(told, before.req)
        if not is_req(told.req):
            return
        actor = "api" if before is None else before.actor
        told = told._replace(actor=told.actor or actor)
        if before is None or before.state != "BLOCKED" or not heeds_hold:
            self._ledger.follow(tx, before, told)
        elif told.state != "STALE":
            self._ledger.follow(
                tx, before, told._replace(state=_HELD.get(told.state, told.state))
            )

    def _present(self, tx: Transaction, req: str) -> Snapshot | None:
        """Return the task's present life, which is nearly always its first."""
        first = self._ledger.snapshot(tx, req)
        if first is None or not first.is_terminal:
            return first
        later = self._later_life(tx, req)
        return first if later is None else self._ledger.snapshot(tx, later)

    def _later_life(self, tx: Transaction, req: str) -> str | None:
        is_odd = _ODD in req[len(TASK_PREFIX) :]
        return None if is_odd else self._ledger.later_life(tx, req)


def _next_life(req: str) -> str:
    """Return the req that follows one that has ended."""
    first, _, number = req[len(TASK_PREFIX) :].partition(":")
    return f"{TASK_PREFIX}{first}:{int(number or 1) + 1}"


def _renamed(fact: Fact, req: str) -> Fact:
    """Return a fact of another req, with the event id that it has there."""
    assert fact.event_id is not None, "each fact of a task has one"
    return fact._replace(req=req, event_id=req + fact.event_id[len(fact.req) :])
