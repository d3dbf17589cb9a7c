"""What a webhook did not bring: issues of a team that changed, and single issues on demand."""

from __future__ import annotations

from typing import Final

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.lifecycle.linear.errors import KeyRefused, Limited, LinearFailure, Passing
from tickets.lifecycle.linear.issues import Issue
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.applying import Applying, Arrival
from tickets.lifecycle.operations.health import SyncHealth
from tickets.lifecycle.operations.inbox import Inbox
from tickets.lifecycle.operations.mirrors import Integration, found_integration, integration
from tickets.lifecycle.operations.pushing import MakeClient

# Clocks differ, and what is committed late is dated early.
OVERLAP_MS: Final = 60_000
PULLS_PER_ROUND: Final = 10
PULL_AGAIN_MS: Final = 60_000


class Reconcile:
    """Asks Linear what is new; never in a transaction."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        inbox: Inbox,
        applying: Applying,
        make_client: MakeClient,
        health: SyncHealth,
    ) -> None:
        self._db = db
        self._clock = clock
        self._inbox = inbox
        self._applying = applying
        self._make_client = make_client
        self._health = health

    def poll_due(self) -> int:
        """Read the issues of each team whose time has come; return how many teams."""
        with self._db.read() as tx:
            due = tx.many("integrations_linear.due", now_ms=self._clock.now_ms())
        return sum(self._poll(row["workspace_id"]) for row in due)

    def pull_due(self) -> int:
        """Read the issues that somebody asked for; return how many were tried."""
        with self._db.read() as tx:
            due = tx.many(
                "sync_shadow.pulls_due", now_ms=self._clock.now_ms(), limit=PULLS_PER_ROUND
            )
        return sum(self._pull(row["workspace_id"], row["ticket_id"]) for row in due)

    def _poll(self, workspace_id: str) -> bool:
        with self._db.write() as tx:
            row = tx.one(
                "integrations_linear.take_reconcile",
                workspace_id=workspace_id,
                now_ms=self._clock.now_ms(),
            )
        if row is None:
            return False
        found = integration(row)
        newest_ms = found.cursor_ms
        try:
            pages = self._make_client(found).issues_since(
                found.team_id, found.cursor_ms - OVERLAP_MS
            )
            for page in pages:
                # The oldest of a page first, so that they are applied as they happened.
                for issue in sorted(page, key=lambda issue: issue.updated_at_ms):
                    self._inbox.add_polled(found, issue)
                    newest_ms = max(newest_ms, issue.updated_at_ms)
        except LinearFailure as failure:
            # The cursor stays, so the next time reads the same again and what follows.
            self._note(found, failure)
            return True
        self._health.worked(workspace_id)
        with self._db.write() as tx:
            # Not ahead of now, however an issue is dated: nothing would be read until then.
            tx.run(
                "integrations_linear.move_cursor",
                workspace_id=workspace_id,
                cursor_ms=min(newest_ms, self._clock.now_ms()),
            )
        return True

    def _pull(self, workspace_id: str, ticket_id: str) -> bool:
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            again_at_ms = now_ms + PULL_AGAIN_MS
            is_ours = tx.run(
                "sync_shadow.take_pull",
                ticket_id=ticket_id,
                now_ms=now_ms,
                again_at_ms=again_at_ms,
            )
            if not is_ours:
                return False
            ticket = rows.found_ticket(tx, workspace_id, ticket_id)
            found = found_integration(tx, workspace_id)
        assert ticket.external_id is not None, "a mirrored ticket has an issue"
        try:
            issue = self._make_client(found).issue(ticket.external_id)
        except LinearFailure as failure:
            self._note(found, failure)
            if isinstance(failure, Passing | Limited | KeyRefused):
                return True
            issue = None
        else:
            self._health.worked(workspace_id)
        self._record(found, ticket_id, issue, again_at_ms)
        return True

    def _record(
        self, found: Integration, ticket_id: str, issue: Issue | None, again_at_ms: int
    ) -> None:
        with self._db.write() as tx:
            tx.hold("tickets.lock", ticket_id=ticket_id, workspace_id=found.workspace_id)
            now_ms = self._clock.now_ms()
            if issue is not None:
                arrival = Arrival(integration=found, issue=issue, now_ms=now_ms)
                self._applying.answer(tx, arrival)
            tx.run("sync_shadow.end_pull", ticket_id=ticket_id, again_at_ms=again_at_ms)

    def _note(self, found: Integration, failure: LinearFailure) -> None:
        """Let the queue of the workspace stand where the failure is about all of it."""
        self._health.failed(found, failure)
        with self._db.write() as tx:
            if isinstance(failure, Limited):
                tx.run(
                    "integrations_linear.limit",
                    workspace_id=found.workspace_id,
                    until_ms=failure.until_ms,
                )
            elif isinstance(failure, KeyRefused):
                tx.run(
                    "integrations_linear.set_status",
                    workspace_id=found.workspace_id,
                    api_key=found.sealed_key,
                    status="auth_failed",
                )
