"""The feed: what the service does itself, as events of reserved reqs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from tickets.db.database import ConstraintViolated, StatementFailed, Transaction
from tickets.ledger.domain.facts import Fact
from tickets.ledger.operations.store import FeedStore, TxStore
from tickets.sqlite_task_ledger.errors import InvalidTransitionError, LedgerError
from tickets.sqlite_task_ledger.events import (
    MAX_MESSAGE,
    MAX_NAME,
    MAX_STAGE,
    canonical_json,
    is_req,
)
from tickets.sqlite_task_ledger.rules import next_event
from tickets.sqlite_task_ledger.snapshots import ATTEMPTED_FROM, Snapshot, fold
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE


def _listed(states: Iterable[str]) -> str:
    return f",{','.join(states)},"


# What is counted; declared in ledger/readings.py.
FEED_ERRORS: Final = "tickets_ledger_feed_errors"
HEARTBEAT_MIN_INTERVAL_MS: Final = 30_000

_NOBODY: Final = "unknown"
# Each state with those that it may follow, between commas and with one at both ends.
_PREVIOUS: Final = {
    state: _listed(each for each in DEFAULT_MACHINE.open if DEFAULT_MACHINE.allows(each, state))
    for state in (*DEFAULT_MACHINE.open, *DEFAULT_MACHINE.terminal)
}
_ATTEMPTED_FROM: Final = _listed(sorted(ATTEMPTED_FROM))
_REFUSALS: Final = (LedgerError, ConstraintViolated, StatementFailed)

logger = logging.getLogger(__name__)


class _Report(NamedTuple):
    """A fact as it is stored."""

    req: str
    actor: str
    source: str
    stage: str | None
    message: str | None
    data_json: str | None
    event_id: str | None
    scope: str | None
    ts_ms: int | None


class LedgerFeed:
    """Writes facts into the ledger, in the transaction of the fact and under a savepoint.

    A refusal is a mistake of ours and no reason to fail the request: it is undone, logged and
    counted. Whoever is the only one to write about a req at a time may call this.
    """

    def __init__(
        self,
        *,
        is_on: bool = True,
        heartbeat_min_interval_ms: int = HEARTBEAT_MIN_INTERVAL_MS,
    ) -> None:
        self.is_on = is_on
        self.heartbeat_min_interval_ms = heartbeat_min_interval_ms

    def snapshot(self, tx: Transaction, req: str) -> Snapshot | None:
        """Return where a req stands, for whoever is about to write."""
        return TxStore(tx).snapshot(req)

    def later_life(self, tx: Transaction, req: str) -> str | None:
        """Return the last of the reqs ``<req>:2``, ``<req>:3`` … None where there is none."""
        found: str | None = tx.value(
            "task_state_snapshot.later_life", from_req=f"{req}:", end_req=f"{req};"
        )
        return found

    def record(self, tx: Transaction, fact: Fact) -> None:
        """Add an event, and before it those without which it would not be allowed.

        A way over other states is needed where something was not told, as for what was there
        before the ledger; a fact that was told before is told once.
        """
        if self.is_on and is_req(fact.req) and not self.step(tx, fact):
            self.follow(tx, self.snapshot(tx, fact.req), fact)

    def step(self, tx: Transaction, fact: Fact, *, unless: str | None = None) -> bool:
        """Add an event where it may follow what is there; tell whether it was added.

        One statement, which folds as ``snapshots.fold`` does. An actor who is left out is the
        one before. Nothing is added behind the state ``unless``.
        """
        report = _report(fact)
        previous = _PREVIOUS[fact.state]
        try:
            added = tx.value(
                "task_facts.step",
                req=report.req,
                state=fact.state,
                is_terminal=int(fact.state in DEFAULT_MACHINE.terminal),
                actor=report.actor if fact.actor else None,
                source=report.source,
                stage=report.stage,
                message=report.message,
                data_json=report.data_json,
                event_id=report.event_id,
                now_ms=fact.now_ms,
                previous=previous if unless is None else previous.replace(f",{unless},", ","),
                attempted_from=_ATTEMPTED_FROM if fact.state == "RUNNING" else "",
            )
        except _REFUSALS:
            return False
        return bool(added)

    def follow(self, tx: Transaction, before: Snapshot | None, fact: Fact) -> None:
        """Do the same where the present snapshot is known."""
        previous = None if before is None else before.state
        try:
            if DEFAULT_MACHINE.allows(previous, fact.state):
                # A refusal leaves nothing of the one statement that this takes.
                _append(tx, before, _report(fact), fact.state, fact.now_ms)
            else:
                with tx.savepoint():
                    _append_over(tx, before, fact)
        except _REFUSALS as error:
            if not _is_told(tx, before, fact):
                self._refused(tx, fact.req, error)

    def open_many(
        self, tx: Transaction, openings: Sequence[dict[str, Any]], *, now_ms: int
    ) -> None:
        """Add the first event of reqs that nobody knows yet, as ``opening`` made them."""
        if not self.is_on or not openings:
            return
        for each in openings:
            each["recorded_at_ms"] = now_ms
        try:
            if len(openings) == 1:
                _open(tx, openings[0])
                return
            with tx.savepoint():
                after_seq = tx.value("task_events.newest")
                tx.run_many("task_events.open", openings)
                tx.run("task_state_snapshot.open", after_seq=after_seq)
        except _REFUSALS as error:
            self._refused(tx, openings[0]["req"], error)

    def alive(self, tx: Transaction, req: str, *, source: str, now_ms: int) -> bool:
        """Note that somebody works on a req, at most once in a while.

        Tell whether the req is open.
        """
        heard = tx.one("task_state_snapshot.heard", req=req) if self.is_on else None
        if heard is None or heard["is_terminal"]:
            return False
        if now_ms - heard["last_event_at_ms"] >= self.heartbeat_min_interval_ms:
            before = self.snapshot(tx, req)
            # Somebody may have been quicker.
            if before is not None and not before.is_terminal:
                fact = Fact(req, before.state, now_ms, source, before.actor)
                self.follow(tx, before, fact)
        return True

    def _refused(self, tx: Transaction, req: str, error: Exception) -> None:
        logger.error("the ledger refused what happened to %s: %s", req, error)
        tx.count(FEED_ERRORS)


def opening(req: str, *, source: str, actor: str, stage: str, event_id: str) -> dict[str, Any]:
    """Return the first event of a req that is ``RECEIVED``, but for its moment."""
    return {
        "req": req,
        "state": "RECEIVED",
        "actor": actor[:MAX_NAME],
        "source": source,
        "stage": stage[:MAX_STAGE] or None,
        "message": None,
        "data_json": None,
        "event_id": event_id,
        "scope": None,
    }


def _open(tx: Transaction, columns: dict[str, Any]) -> None:
    """Add the first event of one req, folded as ``snapshots.fold`` does."""
    if not tx.value("task_facts.open", **columns):
        raise ConstraintViolated("a constraint refused the event")


def _append(
    tx: Transaction, before: Snapshot | None, report: _Report, state: str, now_ms: int
) -> Snapshot:
    event = next_event(before, report, state=state, now_ms=now_ms, machine=DEFAULT_MACHINE)
    snapshot = fold(before, event)
    FeedStore(tx).append(event, snapshot)
    return snapshot


def _append_over(tx: Transaction, before: Snapshot | None, fact: Fact) -> None:
    """Append the states on the way to the fact, and then the fact."""
    previous = None if before is None else before.state
    way = DEFAULT_MACHINE.way(previous, fact.state)
    if not way:
        raise InvalidTransitionError(fact.req, previous, fact.state)
    report = _report(fact)
    bare = report._replace(message=None, data_json=None, event_id=None)
    for state in way[:-1]:
        before = _append(tx, before, bare, state, fact.now_ms)
    _append(tx, before, report, fact.state, fact.now_ms)


def _is_told(tx: Transaction, before: Snapshot | None, fact: Fact) -> bool:
    """Tell whether this fact is stored already."""
    if before is None or fact.event_id is None:
        return False
    found = tx.value(
        "task_events.is_told",
        req=fact.req,
        last_n=before.event_count,
        event_id=fact.event_id,
        state=fact.state,
    )
    return found is not None


def _report(fact: Fact) -> _Report:
    return _Report(
        req=fact.req,
        actor=(fact.actor or _NOBODY)[:MAX_NAME],
        source=fact.source,
        stage=fact.stage[:MAX_STAGE] if fact.stage else None,
        message=None if fact.message is None else fact.message[:MAX_MESSAGE],
        data_json=canonical_json(fact.data),
        event_id=fact.event_id,
        scope=fact.scope,
        ts_ms=None,
    )
