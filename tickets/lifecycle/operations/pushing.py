"""The way out: rows of the outbox are taken, sent without any transaction, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.lifecycle.linear.client import LinearClient
from tickets.lifecycle.linear.errors import KeyRefused, Limited, LinearFailure, Passing
from tickets.lifecycle.linear.pace import (
    BREAKER_PAUSE_MS,
    BREAKER_WINDOW_MS,
    MAX_ATTEMPTS,
    delay_ms,
    is_looping,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.applying import Applying, Arrival
from tickets.lifecycle.operations.health import SyncHealth
from tickets.lifecycle.operations.mirrors import Integration, found_integration
from tickets.lifecycle.operations.requests import (
    NotYet,
    Request,
    Sent,
    check_answered,
    prepared,
    send,
)
from tickets.web.answers import to_json

# Four requests may follow one another for one row, of ten seconds each.
IN_FLIGHT_MS: Final = 60_000
NOT_YET_MS: Final = 1_000
LOOP_SUSPECTED: Final = "loop_suspected"

MakeClient = Callable[[Integration], LinearClient]


@dataclass(frozen=True, slots=True)
class Taken:
    """A row in flight."""

    id: int
    ticket_id: str
    workspace_id: str
    attempts: int
    lost_at_ms: int
    request: Request


class Pushing:
    """Sends what is due; any number of threads and processes may do it at once."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        applying: Applying,
        make_client: MakeClient,
        random_unit: Callable[[], float],
        health: SyncHealth,
    ) -> None:
        self._db = db
        self._clock = clock
        self._applying = applying
        self._make_client = make_client
        self._random_unit = random_unit
        self._health = health

    def is_anything_due(self) -> bool:
        """Tell whether there is a row to take, without a lock."""
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            return bool(tx.many("sync_outbox.due", now_ms=now_ms, limit=1))

    def push_due(self) -> int:
        """Send one row after the other until none is due; return how many were sent."""
        count = 0
        while taken := self.take(limit=1):
            self.push(taken[0])
            count += 1
        return count

    def take(self, limit: int) -> list[Taken]:
        """Put up to ``limit`` rows in flight, of as many tickets, and return them.

        A row that needs no request, or cannot have one yet, is dealt with on the way, and
        those behind it are looked at.
        """
        taken: list[Taken] = []
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            passed = True
            while passed and len(taken) < limit:
                passed = False
                for row in tx.many("sync_outbox.due", now_ms=now_ms, limit=limit - len(taken)):
                    found = self._take(tx, row["id"], row["ticket_id"], now_ms)
                    passed = True
                    if found is not None:
                        taken.append(found)
        return taken

    def push(self, taken: Taken) -> None:
        """Send a row and record what came of it."""
        client = self._make_client(taken.request.integration)
        try:
            sent = send(client, taken.request)
            check_answered(taken.request, sent)
        except LinearFailure as failure:
            self._record_failure(taken, failure)
            self._health.failed(taken.request.integration, failure)
        else:
            self._record_success(taken, sent)
            self._health.worked(taken.workspace_id)

    def _take(self, tx: Transaction, id_: int, ticket_id: str, now_ms: int) -> Taken | None:
        sent_ms = [
            row["updated_at_ms"]
            for row in tx.many(
                "sync_outbox.sent_since",
                ticket_id=ticket_id,
                since_ms=now_ms - BREAKER_WINDOW_MS,
            )
        ]
        if is_looping(sent_ms, now_ms=now_ms):
            tx.run(
                "sync_shadow.pause",
                ticket_id=ticket_id,
                until_ms=now_ms + BREAKER_PAUSE_MS,
                last_error=LOOP_SUSPECTED,
            )
            return None
        lost_at_ms = now_ms + IN_FLIGHT_MS
        row = tx.one("sync_outbox.take", id=id_, now_ms=now_ms, lost_at_ms=lost_at_ms)
        if row is None:
            return None
        ticket = rows.found_ticket(tx, row["workspace_id"], ticket_id)
        integration = found_integration(tx, row["workspace_id"])
        attempts, times = row["attempts"], {"lost_at_ms": lost_at_ms, "now_ms": now_ms}
        try:
            request = prepared(tx, integration, ticket, row)
        except NotYet:
            next_ms, error = now_ms + NOT_YET_MS, row["last_error"]
            _end(tx, id_, "pending", attempts, next_ms, error, **times)
            return None
        if request is None:
            _end(tx, id_, "done", attempts, now_ms, "nothing to send", **times)
            return None
        return Taken(id_, ticket_id, row["workspace_id"], attempts, lost_at_ms, request)

    def _record_success(self, taken: Taken, sent: Sent) -> None:
        with self._db.write() as tx:
            tx.hold("tickets.lock", ticket_id=taken.ticket_id, workspace_id=taken.workspace_id)
            now_ms = self._clock.now_ms()
            if sent.states is not None:
                tx.run(
                    "integrations_linear.set_states",
                    workspace_id=taken.workspace_id,
                    team_id=taken.request.integration.team_id,
                    states_json=to_json([asdict(state) for state in sent.states]),
                )
            if sent.issue is not None:
                # What was sent is agreed on in the form in which Linear keeps it.
                agreed = taken.request.sent if sent.is_answer else {}
                integration = found_integration(tx, taken.workspace_id)
                arrival = Arrival(
                    integration=integration, issue=sent.issue, agreed=agreed, now_ms=now_ms
                )
                self._applying.answer(tx, arrival)
            times = {"lost_at_ms": taken.lost_at_ms, "now_ms": now_ms}
            _end(tx, taken.id, "done", taken.attempts, now_ms, None, **times)

    def _record_failure(self, taken: Taken, failure: LinearFailure) -> None:
        text = str(failure)
        with self._db.write() as tx:
            tx.hold("tickets.lock", ticket_id=taken.ticket_id, workspace_id=taken.workspace_id)
            now_ms = self._clock.now_ms()
            state, attempts, next_ms = "pending", taken.attempts, now_ms
            if isinstance(failure, Limited):
                next_ms = failure.until_ms
                tx.run(
                    "integrations_linear.limit",
                    workspace_id=taken.workspace_id,
                    until_ms=failure.until_ms,
                )
            elif isinstance(failure, KeyRefused):
                tx.run(
                    "integrations_linear.set_status",
                    workspace_id=taken.workspace_id,
                    api_key=taken.request.integration.sealed_key,
                    status="auth_failed",
                )
            else:
                attempts += 1
                is_over = not isinstance(failure, Passing) or attempts >= MAX_ATTEMPTS
                state = "dead" if is_over else "pending"
                next_ms = now_ms + delay_ms(attempts, random_unit=self._random_unit())
            times = {"lost_at_ms": taken.lost_at_ms, "now_ms": now_ms}
            if _end(tx, taken.id, state, attempts, next_ms, text, **times):
                tx.run("sync_shadow.set_error", ticket_id=taken.ticket_id, last_error=text)


def _end(
    tx: Transaction,
    id_: int,
    state: str,
    attempts: int,
    next_attempt_at_ms: int,
    last_error: str | None,
    *,
    lost_at_ms: int,
    now_ms: int,
) -> bool:
    """Write down what became of a row; tell whether it was still ours."""
    ended = tx.run(
        "sync_outbox.end",
        id=id_,
        lost_at_ms=lost_at_ms,
        state=state,
        attempts=attempts,
        next_attempt_at_ms=next_attempt_at_ms,
        last_error=last_error,
        now_ms=now_ms,
    )
    return ended == 1
