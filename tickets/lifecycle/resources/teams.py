"""The teams of a workspace."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidLimit
from tickets.lifecycle.domain.documents import NameQuery, TeamDocument
from tickets.lifecycle.domain.records import Team
from tickets.lifecycle.errors import (
    AgentNotFound,
    TeamInUse,
    TeamNotFound,
    WorkspaceArchived,
    WorkspaceNotFound,
)
from tickets.lifecycle.operations.teams import TeamOperations
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class TeamCollection:
    """HTTP for the teams of a workspace."""

    def __init__(self, teams: TeamOperations) -> None:
        self._teams = teams

    @endpoint(
        "List a workspace's teams, by id",
        query=NameQuery,
        answer=Page[Team],
        errors=(InvalidLimit, WorkspaceNotFound),
    )
    def on_get(
        self, _req: Request, _resp: Response, workspace_id: str, query: NameQuery
    ) -> Page[Team]:
        """``GET /workspaces/{workspace_id}/teams?limit=&cursor=`` → 200 page of teams."""
        return self._teams.list_by_id(workspace_id, query)


class TeamItem:
    """HTTP for one team."""

    def __init__(self, teams: TeamOperations) -> None:
        self._teams = teams

    @endpoint(
        "Make a team, or replace it",
        body=TeamDocument,
        answer=Team,
        also=(201,),
        errors=(Invalid, WorkspaceNotFound, WorkspaceArchived, AgentNotFound),
    )
    def on_put(
        self,
        _req: Request,
        resp: Response,
        workspace_id: str,
        team_id: str,
        document: TeamDocument,
    ) -> Team:
        """``PUT /workspaces/{workspace_id}/teams/{team_id}`` → 201 new team, 200 known."""
        team, is_new = self._teams.put(workspace_id, team_id, document)
        resp.status = 201 if is_new else 200
        return team

    @endpoint("Get a team", answer=Team, errors=(WorkspaceNotFound, TeamNotFound))
    def on_get(self, _req: Request, _resp: Response, workspace_id: str, team_id: str) -> Team:
        """``GET /workspaces/{workspace_id}/teams/{team_id}`` → 200 team."""
        return self._teams.get(workspace_id, team_id)

    @endpoint(
        "Forget a team",
        status=204,
        errors=(WorkspaceNotFound, WorkspaceArchived, TeamNotFound, TeamInUse),
    )
    def on_delete(
        self, _req: Request, _resp: Response, workspace_id: str, team_id: str
    ) -> None:
        """``DELETE /workspaces/{workspace_id}/teams/{team_id}`` → 204.

        Not while a ticket that has not ended is assigned to it.
        """
        self._teams.delete(workspace_id, team_id)
