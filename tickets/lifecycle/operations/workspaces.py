"""Workspaces: made, changed and read."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import PipelineNotFound
from tickets.ids import new_id
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import (
    ListQuery,
    NewWorkspace,
    WorkspaceChanges,
    WorkspaceDispatch,
    given_settings,
)
from tickets.lifecycle.domain.records import Workspace
from tickets.lifecycle.errors import WorkspaceArchived, WorkspaceExists, WorkspaceNotFound
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.sweeping import Waiting
from tickets.tracker.operations.pipelines import Definitions
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_time_cursor


class WorkspaceOperations:
    """Every change to a workspace, and the list of them."""

    def __init__(
        self, db: Database, clock: Clock, definitions: Definitions, waiting: Waiting
    ) -> None:
        self._db = db
        self._clock = clock
        self._definitions = definitions
        self._waiting = waiting

    def create(self, document: NewWorkspace) -> Workspace:
        """Make a workspace, active from the start.

        Raises WorkspaceExists, PipelineNotFound.
        """
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            settings: dict[str, Any] = {}
            if document.dispatch is not None:
                settings = self._merged(tx, {}, document.dispatch)
            row = tx.one(
                "workspaces.create",
                id=document.id or new_id(),
                name=document.name.strip(),
                dispatch_json=to_json(settings),
                now_ms=now_ms,
            )
            if row is None:
                raise WorkspaceExists
            return rows.workspace(row)

    def get(self, workspace_id: str) -> Workspace:
        """Return a workspace. Raises WorkspaceNotFound."""
        with self._db.read() as tx:
            return rows.workspace(rows.entered(tx, Scope(workspace_id=workspace_id)))

    def list_oldest_first(self, query: ListQuery) -> Page[Workspace]:
        """Return a page of workspaces, by creation. Raises InvalidCursor."""
        after = (-1, "") if query.cursor is None else parse_time_cursor(query.cursor)
        with self._db.read() as tx:
            found = tx.many(
                "workspaces.page",
                after_created_at_ms=after[0],
                after_id=after[1],
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=rows.workspace,
            cursor=lambda row: f"{row['created_at_ms']}:{row['id']}",
        )

    def change(self, workspace_id: str, document: WorkspaceChanges) -> Workspace:
        """Change what is given and leave the rest.

        Raises WorkspaceNotFound, WorkspaceArchived (anything but the status), PipelineNotFound.
        """
        with self._db.write() as tx:
            tx.hold("workspaces.lock", workspace_id=workspace_id)
            now_ms = self._clock.now_ms()
            row = _found(tx, workspace_id)
            is_more = document.name is not UNSET or document.dispatch is not UNSET
            if row["status"] == "archived" and is_more:
                raise WorkspaceArchived
            columns = {name: row[name] for name in ("name", "status", "dispatch_json")}
            if document.name is not UNSET:
                columns["name"] = document.name.strip()
            if document.status is not UNSET:
                columns["status"] = document.status
            if document.dispatch is not UNSET:
                settings = self._merged(tx, rows.settings(row), document.dispatch)
                columns["dispatch_json"] = to_json(settings)
            changed = tx.one(
                "workspaces.change", workspace_id=workspace_id, now_ms=now_ms, **columns
            )
            assert changed is not None, "it was found in this transaction"
            if changed["status"] != "archived":
                self._waiting.all_of(tx, workspace_id)
            return rows.workspace(changed)

    def _merged(
        self, tx: Transaction, settings: dict[str, Any], document: WorkspaceDispatch
    ) -> dict[str, Any]:
        """Return settings with those that were given; null takes one out.

        Raises PipelineNotFound.
        """
        merged = {**settings, **given_settings(document)}
        merged = {name: value for name, value in merged.items() if value is not None}
        check_pipeline(tx, self._definitions, merged.get("pipeline_id"))
        return merged


def check_pipeline(tx: Transaction, definitions: Definitions, pipeline_id: str | None) -> None:
    """Return where the pipeline is known, or none is named. Raises PipelineNotFound."""
    if pipeline_id is not None and definitions.find(tx, pipeline_id) is None:
        raise PipelineNotFound


def _found(tx: Transaction, workspace_id: str) -> Row:
    row = tx.one("workspaces.get", workspace_id=workspace_id)
    if row is None:
        raise WorkspaceNotFound
    return row
