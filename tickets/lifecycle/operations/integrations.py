"""Integrations with Linear: set up, shown, tried and taken away."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from msgspec import Raw

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.sync_documents import IntegrationDocument, OutboxQuery
from tickets.lifecycle.domain.sync_records import (
    IntegrationView,
    OutboxRow,
    QueueCounts,
    ReconcileAnswer,
    SecretView,
    StateView,
    Verification,
)
from tickets.lifecycle.errors import (
    IntegrationNotFound,
    ProviderFailed,
    SecretsUnreadable,
    TeamAlreadyBound,
)
from tickets.lifecycle.linear.errors import KeyRefused, LinearFailure
from tickets.lifecycle.linear.states import Workflow
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.health import SyncHealth
from tickets.lifecycle.operations.mirrors import Integration, found_integration
from tickets.lifecycle.operations.outbox import OUTBOX_TOPIC
from tickets.lifecycle.operations.pushing import MakeClient
from tickets.lifecycle.vault import SEALED, Vault
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_id_cursor

# Four characters of less would be half of it.
SHOWN_FROM: Final = 8


class IntegrationOperations:
    """Everything about how a workspace is connected."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        make_client: MakeClient,
        vault: Vault,
        health: SyncHealth,
    ) -> None:
        self._db = db
        self._clock = clock
        self._make_client = make_client
        self._vault = vault
        self._health = health

    def put(
        self, workspace_id: str, document: IntegrationDocument
    ) -> tuple[IntegrationView, bool]:
        """Connect a workspace, or connect it anew; tell whether it had no connection.

        Raises WorkspaceNotFound, WorkspaceArchived, TeamAlreadyBound, SecretsUnreadable.
        """
        api_key = self._vault.seal(document.api_key)
        secrets = [self._vault.seal(secret) for secret in document.webhook_secrets]
        with self._db.write() as tx:
            tx.hold("integrations_linear.lock")
            now_ms = self._clock.now_ms()
            rows.entered_to_write(tx, Scope(workspace_id=workspace_id))
            holder = tx.value("integrations_linear.workspace_of_team", team_id=document.team_id)
            if holder not in (None, workspace_id):
                raise TeamAlreadyBound
            is_new = tx.one("integrations_linear.get", workspace_id=workspace_id) is None
            row = tx.one(
                "integrations_linear.put",
                workspace_id=workspace_id,
                team_id=document.team_id,
                enabled=int(document.enabled),
                auth_kind=document.auth_kind,
                api_key=api_key,
                webhook_secrets_json=to_json(secrets),
                import_issues=int(document.import_issues),
                create_labels=int(document.create_labels),
                status_map_json=to_json(
                    document.status_map.given() if document.status_map else {}
                ),
                replay_window_ms=document.replay_window_ms,
                reconcile_interval_ms=document.reconcile_interval_ms,
                reconcile_at_ms=now_ms + document.reconcile_interval_ms,
                now_ms=now_ms,
            )
            assert row is not None, "it was put"
            tx.wake(OUTBOX_TOPIC)
            return self._view(tx, row), is_new

    def get(self, workspace_id: str) -> IntegrationView:
        """Return the integration. Raises WorkspaceNotFound, IntegrationNotFound."""
        with self._db.read() as tx:
            return self._view(tx, self._row(tx, workspace_id))

    def delete(self, workspace_id: str) -> None:
        """Take the connection away; its tickets stay as they are, detached.

        Raises WorkspaceNotFound, IntegrationNotFound.
        """
        with self._db.write() as tx:
            tx.hold("integrations_linear.lock")
            now_ms = self._clock.now_ms()
            self._row(tx, workspace_id)
            tx.run("integrations_linear.delete", workspace_id=workspace_id)
            tx.run("sync_shadow.detach_workspace", workspace_id=workspace_id)
            tx.run(
                "sync_outbox.give_up_workspace",
                workspace_id=workspace_id,
                last_error="the integration was deleted",
                now_ms=now_ms,
            )

    def verify(self, workspace_id: str) -> Verification:
        """Ask Linear who we are and what the team is; a queue that stood goes on.

        Raises WorkspaceNotFound, IntegrationNotFound, ProviderFailed.
        """
        with self._db.read() as tx:
            self._row(tx, workspace_id)
            integration = found_integration(tx, workspace_id)
        client = self._make_client(integration)
        try:
            viewer_id = client.viewer_id()
            team = client.team(integration.team_id)
        except LinearFailure as failure:
            if isinstance(failure, KeyRefused):
                self._set_status(integration, "auth_failed")
            self._health.failed(integration, failure)
            raise ProviderFailed(f"Linear: {failure}") from failure
        self._set_status(integration, "ok")
        self._health.worked(workspace_id)
        with self._db.write() as tx:
            tx.run(
                "integrations_linear.set_states",
                workspace_id=workspace_id,
                team_id=integration.team_id,
                states_json=to_json([asdict(state) for state in team.states]),
            )
        workflow = Workflow(team.states, integration.workflow.status_map)
        return Verification(
            ok=True,
            viewer_id=viewer_id,
            team_name=team.name,
            states=[
                StateView(**asdict(state), status=workflow.status_of(state))
                for state in team.states
            ],
        )

    def ask_to_reconcile(self, workspace_id: str) -> ReconcileAnswer:
        """Let the worker read the team's issues soon.

        Raises WorkspaceNotFound, IntegrationNotFound.
        """
        with self._db.write() as tx:
            self._row(tx, workspace_id)
            cursor_ms = tx.value(
                "integrations_linear.ask_to_reconcile",
                workspace_id=workspace_id,
                now_ms=self._clock.now_ms(),
            )
            return ReconcileAnswer(cursor_ms=cursor_ms)

    def outbox(self, workspace_id: str, query: OutboxQuery) -> Page[OutboxRow]:
        """Return a page of what was, is and was not sent.

        Raises WorkspaceNotFound, IntegrationNotFound, InvalidCursor.
        """
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            self._row(tx, workspace_id)
            if query.state is None:
                found = tx.many(
                    "sync_outbox.page",
                    workspace_id=workspace_id,
                    after_id=after_id,
                    limit=query.limit + 1,
                )
            else:
                found = tx.many(
                    "sync_outbox.page_by_state",
                    workspace_id=workspace_id,
                    state=query.state,
                    after_id=after_id,
                    limit=query.limit + 1,
                )
        return make_page(
            found, limit=query.limit, make=outbox_row, cursor=lambda row: str(row["id"])
        )

    def _row(self, tx: Transaction, workspace_id: str) -> Row:
        rows.entered(tx, Scope(workspace_id=workspace_id))
        row = tx.one("integrations_linear.get", workspace_id=workspace_id)
        if row is None:
            raise IntegrationNotFound
        return row

    def _set_status(self, integration: Integration, status: str) -> None:
        with self._db.write() as tx:
            tx.run(
                "integrations_linear.set_status",
                workspace_id=integration.workspace_id,
                api_key=integration.sealed_key,
                status=status,
            )

    def seal_stored(self) -> None:
        """Seal what was stored as it was given, before there was a vault."""
        with self._db.read() as tx:
            found = tx.many("integrations_linear.with_unsealed", sealed=f"{SEALED}%")
        for row in found:
            secrets = [
                self._vault.seal(each) for each in json.loads(row["webhook_secrets_json"])
            ]
            with self._db.write() as tx:
                tx.run(
                    "integrations_linear.seal",
                    workspace_id=row["workspace_id"],
                    as_it_was=row["api_key"],
                    api_key=self._vault.seal(row["api_key"]),
                    webhook_secrets_json=to_json(secrets),
                )

    def _view(self, tx: Transaction, row: Row) -> IntegrationView:
        counts = {
            each["state"]: each["row_count"]
            for each in tx.many("sync_outbox.counts", workspace_id=row["workspace_id"])
        }
        secrets = [
            self._opened(each)
            for each in (row["api_key"], *json.loads(row["webhook_secrets_json"]))
        ]
        status: Any = row["status"] if None not in secrets else "secrets_unreadable"
        return IntegrationView(
            workspace_id=row["workspace_id"],
            enabled=bool(row["enabled"]),
            auth_kind=row["auth_kind"],
            api_key=_hidden(secrets[0]),
            team_id=row["team_id"],
            webhook_secrets=[_hidden(each) for each in secrets[1:]],
            import_issues=bool(row["import_issues"]),
            create_labels=bool(row["create_labels"]),
            status_map=json.loads(row["status_map_json"]),
            replay_window_ms=row["replay_window_ms"],
            reconcile_interval_ms=row["reconcile_interval_ms"],
            status=status if row["enabled"] else "disabled",
            last_error=row["last_error"],
            last_error_at_ms=row["last_error_at_ms"],
            last_success_at_ms=row["last_success_at_ms"],
            queue=QueueCounts(
                pending=counts.get("pending", 0),
                inflight=counts.get("inflight", 0),
                dead=counts.get("dead", 0),
            ),
            cursor_ms=row["cursor_ms"],
            created_at_ms=row["created_at_ms"],
            updated_at_ms=row["updated_at_ms"],
        )

    def _opened(self, sealed: str) -> str | None:
        """Return a secret, None where this host cannot open it."""
        try:
            return self._vault.open(sealed)
        except SecretsUnreadable:
            return None


def _hidden(secret: str | None) -> SecretView:
    """Return what people may see of a secret: its end, if there is more of it."""
    is_long = secret is not None and len(secret) >= SHOWN_FROM
    return SecretView(set=True, last4=secret[-4:] if secret and is_long else None)


def outbox_row(row: Row) -> OutboxRow:
    """Return a row of the outbox as clients see it."""
    return OutboxRow(
        payload=Raw(row["payload_json"].encode()),
        **{name: row[name] for name in OutboxRow.__struct_fields__ if name != "payload"},
    )
