"""``/workspaces`` and the agents of one."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidLimit, PipelineNotFound
from tickets.lifecycle.domain.documents import (
    AgentDocument,
    ListQuery,
    NameQuery,
    NewWorkspace,
    WorkspaceChanges,
)
from tickets.lifecycle.domain.records import Agent, Workspace
from tickets.lifecycle.errors import (
    AgentInOtherWorkspace,
    AgentInUse,
    AgentNotFound,
    WorkspaceArchived,
    WorkspaceExists,
    WorkspaceNotFound,
)
from tickets.lifecycle.operations.agents import AgentOperations
from tickets.lifecycle.operations.workspaces import WorkspaceOperations
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class WorkspaceCollection:
    """HTTP for all workspaces."""

    def __init__(self, workspaces: WorkspaceOperations) -> None:
        self._workspaces = workspaces

    @endpoint(
        "Create a workspace",
        body=NewWorkspace,
        answer=Workspace,
        status=201,
        errors=(Invalid, PipelineNotFound, WorkspaceExists),
    )
    def on_post(self, _req: Request, _resp: Response, document: NewWorkspace) -> Workspace:
        """``POST /workspaces`` → 201 workspace; without ``id`` the service chooses one."""
        return self._workspaces.create(document)

    @endpoint(
        "List workspaces, oldest first",
        query=ListQuery,
        answer=Page[Workspace],
        errors=(InvalidLimit, InvalidCursor),
    )
    def on_get(self, _req: Request, _resp: Response, query: ListQuery) -> Page[Workspace]:
        """``GET /workspaces?limit=&cursor=`` → 200 page of workspaces."""
        return self._workspaces.list_oldest_first(query)


class WorkspaceItem:
    """HTTP for one workspace."""

    def __init__(self, workspaces: WorkspaceOperations) -> None:
        self._workspaces = workspaces

    @endpoint("Get a workspace", answer=Workspace, errors=(WorkspaceNotFound,))
    def on_get(self, _req: Request, _resp: Response, workspace_id: str) -> Workspace:
        """``GET /workspaces/{workspace_id}`` → 200 workspace."""
        return self._workspaces.get(workspace_id)

    @endpoint(
        "Change a workspace; what is absent stays",
        body=WorkspaceChanges,
        answer=Workspace,
        errors=(Invalid, WorkspaceNotFound, WorkspaceArchived, PipelineNotFound),
    )
    def on_patch(
        self, _req: Request, _resp: Response, workspace_id: str, document: WorkspaceChanges
    ) -> Workspace:
        """``PATCH /workspaces/{workspace_id}`` → 200 workspace.

        Settings under ``dispatch`` are changed one by one; null takes one out. An archived
        workspace can change its status only.
        """
        return self._workspaces.change(workspace_id, document)


class AgentCollection:
    """HTTP for the agents of a workspace."""

    def __init__(self, agents: AgentOperations) -> None:
        self._agents = agents

    @endpoint(
        "List a workspace's agents, by id",
        query=NameQuery,
        answer=Page[Agent],
        errors=(InvalidLimit, WorkspaceNotFound),
    )
    def on_get(
        self, _req: Request, _resp: Response, workspace_id: str, query: NameQuery
    ) -> Page[Agent]:
        """``GET /workspaces/{workspace_id}/agents?limit=&cursor=`` → 200 page of agents."""
        return self._agents.list_by_id(workspace_id, query)


class AgentItem:
    """HTTP for one agent."""

    def __init__(self, agents: AgentOperations) -> None:
        self._agents = agents

    @endpoint(
        "Register an agent, or replace what is known of it",
        body=AgentDocument,
        answer=Agent,
        errors=(Invalid, WorkspaceNotFound, WorkspaceArchived, AgentInOtherWorkspace),
        also=(201,),
    )
    def on_put(
        self,
        _req: Request,
        resp: Response,
        workspace_id: str,
        agent_id: str,
        document: AgentDocument,
    ) -> Agent:
        """``PUT /workspaces/{workspace_id}/agents/{agent_id}`` → 201 new agent, 200 known.

        Agents claim tasks by their id, so an id belongs to one workspace only.
        """
        agent, is_new = self._agents.put(workspace_id, agent_id, document)
        resp.status = 201 if is_new else 200
        return agent

    @endpoint("Get an agent", answer=Agent, errors=(WorkspaceNotFound, AgentNotFound))
    def on_get(self, _req: Request, _resp: Response, workspace_id: str, agent_id: str) -> Agent:
        """``GET /workspaces/{workspace_id}/agents/{agent_id}`` → 200 agent."""
        return self._agents.get(workspace_id, agent_id)

    @endpoint(
        "Forget an agent",
        status=204,
        errors=(WorkspaceNotFound, WorkspaceArchived, AgentNotFound, AgentInUse),
    )
    def on_delete(
        self, _req: Request, _resp: Response, workspace_id: str, agent_id: str
    ) -> None:
        """``DELETE /workspaces/{workspace_id}/agents/{agent_id}`` → 204.

        Not while a ticket that has not ended is assigned to it.
        """
        self._agents.delete(workspace_id, agent_id)
