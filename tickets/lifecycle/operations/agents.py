"""Agents of a workspace."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import AgentDocument, NameQuery
from tickets.lifecycle.domain.records import Agent
from tickets.lifecycle.errors import AgentInOtherWorkspace, AgentInUse
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.sweeping import Waiting
from tickets.web.pages import Page, make_page


class AgentOperations:
    """Every change to an agent, and the list of them."""

    def __init__(self, db: Database, clock: Clock, waiting: Waiting) -> None:
        self._db = db
        self._clock = clock
        self._waiting = waiting

    def put(
        self, workspace_id: str, agent_id: str, document: AgentDocument
    ) -> tuple[Agent, bool]:
        """Register an agent, or replace what is known of it; tell whether it is new.

        Raises WorkspaceNotFound, WorkspaceArchived, AgentInOtherWorkspace.
        """
        scope = Scope(workspace_id=workspace_id)
        with self._db.write() as tx:
            tx.hold("workspace_agents.lock", agent_id=agent_id)
            now_ms = self._clock.now_ms()
            rows.entered_to_write(tx, scope)
            known = tx.one("workspace_agents.get", agent_id=agent_id, workspace_id=workspace_id)
            row = tx.one(
                "workspace_agents.put",
                agent_id=agent_id,
                workspace_id=workspace_id,
                role=document.role,
                enabled=int(document.enabled),
                max_active_tickets=document.max_active_tickets,
                display_name=document.display_name,
                linear_user_id=document.linear_user_id,
                now_ms=now_ms,
            )
            if row is None:
                raise AgentInOtherWorkspace
            self._waiting.all_of(tx, workspace_id)
            return rows.agent(row), known is None

    def get(self, workspace_id: str, agent_id: str) -> Agent:
        """Return an agent. Raises WorkspaceNotFound, AgentNotFound."""
        with self._db.read() as tx:
            rows.entered(tx, Scope(workspace_id=workspace_id))
            return rows.agent(rows.found_agent(tx, workspace_id, agent_id))

    def list_by_id(self, workspace_id: str, query: NameQuery) -> Page[Agent]:
        """Return a page of a workspace's agents. Raises WorkspaceNotFound."""
        with self._db.read() as tx:
            rows.entered(tx, Scope(workspace_id=workspace_id))
            found = tx.many(
                "workspace_agents.page",
                workspace_id=workspace_id,
                after_id=query.cursor or "",
                limit=query.limit + 1,
            )
        return make_page(
            found, limit=query.limit, make=rows.agent, cursor=lambda row: str(row["agent_id"])
        )

    def delete(self, workspace_id: str, agent_id: str) -> None:
        """Forget an agent; its teams lose it.

        Raises WorkspaceNotFound, WorkspaceArchived, AgentNotFound, AgentInUse.
        """
        with self._db.write() as tx:
            tx.hold("workspace_agents.lock", agent_id=agent_id)
            rows.entered_to_write(tx, Scope(workspace_id=workspace_id))
            rows.found_agent(tx, workspace_id, agent_id)
            if tx.value("workspace_agents.is_in_use", agent_id=agent_id) is not None:
                raise AgentInUse
            tx.run("workspace_agents.delete", agent_id=agent_id, workspace_id=workspace_id)
