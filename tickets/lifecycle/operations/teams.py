"""Teams of a workspace."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import NameQuery, TeamDocument
from tickets.lifecycle.domain.records import Team
from tickets.lifecycle.errors import TeamInUse, TeamNotFound
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.sweeping import Waiting
from tickets.web.pages import Page, make_page


class TeamOperations:
    """Every change to a team, and the list of them."""

    def __init__(self, db: Database, clock: Clock, waiting: Waiting) -> None:
        self._db = db
        self._clock = clock
        self._waiting = waiting

    def put(self, workspace_id: str, team_id: str, document: TeamDocument) -> tuple[Team, bool]:
        """Make a team, or replace it; tell whether it is new.

        Raises WorkspaceNotFound, WorkspaceArchived, AgentNotFound.
        """
        key = {"workspace_id": workspace_id, "team_id": team_id}
        with self._db.write() as tx:
            tx.hold("workspace_teams.lock", **key)
            now_ms = self._clock.now_ms()
            rows.entered_to_write(tx, Scope(workspace_id=workspace_id))
            agent_ids = list(dict.fromkeys(document.agent_ids))
            for agent_id in agent_ids:
                rows.found_agent(tx, workspace_id, agent_id)
            is_new = tx.one("workspace_teams.get", **key) is None
            tx.run("workspace_teams.put", **key, name=document.name.strip(), now_ms=now_ms)
            tx.run("workspace_teams.clear", **key)
            for position, agent_id in enumerate(agent_ids):
                tx.run(
                    "workspace_teams.add_member", **key, agent_id=agent_id, position=position
                )
            self._waiting.all_of(tx, workspace_id)
            return _team(tx, _found(tx, workspace_id, team_id)), is_new

    def get(self, workspace_id: str, team_id: str) -> Team:
        """Return a team. Raises WorkspaceNotFound, TeamNotFound."""
        with self._db.read() as tx:
            rows.entered(tx, Scope(workspace_id=workspace_id))
            return _team(tx, _found(tx, workspace_id, team_id))

    def list_by_id(self, workspace_id: str, query: NameQuery) -> Page[Team]:
        """Return a page of a workspace's teams. Raises WorkspaceNotFound."""
        with self._db.read() as tx:
            rows.entered(tx, Scope(workspace_id=workspace_id))
            found = tx.many(
                "workspace_teams.page",
                workspace_id=workspace_id,
                after_id=query.cursor or "",
                limit=query.limit + 1,
            )
            return make_page(
                found,
                limit=query.limit,
                make=lambda row: _team(tx, row),
                cursor=lambda row: str(row["team_id"]),
            )

    def delete(self, workspace_id: str, team_id: str) -> None:
        """Forget a team.

        Raises WorkspaceNotFound, WorkspaceArchived, TeamNotFound, TeamInUse.
        """
        key = {"workspace_id": workspace_id, "team_id": team_id}
        with self._db.write() as tx:
            tx.hold("workspace_teams.lock", **key)
            rows.entered_to_write(tx, Scope(workspace_id=workspace_id))
            _found(tx, workspace_id, team_id)
            if tx.value("workspace_teams.is_in_use", **key) is not None:
                raise TeamInUse
            tx.run("workspace_teams.delete", **key)


def _found(tx: Transaction, workspace_id: str, team_id: str) -> Row:
    row = tx.one("workspace_teams.get", workspace_id=workspace_id, team_id=team_id)
    if row is None:
        raise TeamNotFound
    return row


def _team(tx: Transaction, row: Row) -> Team:
    members = tx.many(
        "workspace_teams.members", workspace_id=row["workspace_id"], team_id=row["team_id"]
    )
    return Team(
        id=row["team_id"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        agent_ids=[member["agent_id"] for member in members],
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )
