"""``/workspaces/{workspace_id}/integrations/linear``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidLimit
from tickets.lifecycle.domain.sync_documents import IntegrationDocument, OutboxQuery
from tickets.lifecycle.domain.sync_records import (
    IntegrationView,
    OutboxRow,
    ReconcileAnswer,
    Verification,
)
from tickets.lifecycle.errors import (
    IntegrationNotFound,
    ProviderFailed,
    TeamAlreadyBound,
    WorkspaceArchived,
    WorkspaceNotFound,
)
from tickets.lifecycle.operations.integrations import IntegrationOperations
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page

_NOT_FOUND = (WorkspaceNotFound, IntegrationNotFound)


class LinearIntegration:
    """HTTP for the connection of a workspace with Linear."""

    def __init__(self, integrations: IntegrationOperations) -> None:
        self._integrations = integrations

    @endpoint(
        "Connect a workspace with Linear, or connect it anew",
        body=IntegrationDocument,
        answer=IntegrationView,
        also=(201,),
        errors=(Invalid, WorkspaceNotFound, WorkspaceArchived, TeamAlreadyBound),
    )
    def on_put(
        self, _req: Request, resp: Response, workspace_id: str, document: IntegrationDocument
    ) -> IntegrationView:
        """``PUT /workspaces/{workspace_id}/integrations/linear`` → 201 new, 200 changed.

        Key and secrets are not shown again, here or anywhere; of each only its last four
        characters.
        """
        view, is_new = self._integrations.put(workspace_id, document)
        resp.status = 201 if is_new else 200
        return view

    @endpoint("Show the connection with Linear", answer=IntegrationView, errors=_NOT_FOUND)
    def on_get(self, _req: Request, _resp: Response, workspace_id: str) -> IntegrationView:
        """``GET /workspaces/{workspace_id}/integrations/linear`` → 200 integration."""
        return self._integrations.get(workspace_id)

    @endpoint("Disconnect a workspace from Linear", status=204, errors=_NOT_FOUND)
    def on_delete(self, _req: Request, _resp: Response, workspace_id: str) -> None:
        """``DELETE /workspaces/{workspace_id}/integrations/linear`` → 204.

        Tickets and issues stay as they are; the tickets become ``detached``.
        """
        self._integrations.delete(workspace_id)


class LinearVerification:
    """HTTP for trying the connection."""

    def __init__(self, integrations: IntegrationOperations) -> None:
        self._integrations = integrations

    @endpoint(
        "Ask Linear whether key and team are right",
        answer=Verification,
        errors=(*_NOT_FOUND, ProviderFailed),
    )
    def on_post(self, _req: Request, _resp: Response, workspace_id: str) -> Verification:
        """``POST /workspaces/{workspace_id}/integrations/linear/verify`` → 200 what it said.

        A queue that stood because the key was refused goes on.
        """
        return self._integrations.verify(workspace_id)


class LinearReconciliation:
    """HTTP for reading the team's issues now."""

    def __init__(self, integrations: IntegrationOperations) -> None:
        self._integrations = integrations

    @endpoint(
        "Read the team's changed issues soon",
        answer=ReconcileAnswer,
        status=202,
        errors=_NOT_FOUND,
    )
    def on_post(self, _req: Request, _resp: Response, workspace_id: str) -> ReconcileAnswer:
        """``POST /workspaces/{workspace_id}/integrations/linear/reconcile`` → 202."""
        return self._integrations.ask_to_reconcile(workspace_id)


class LinearOutbox:
    """HTTP for what is to be sent."""

    def __init__(self, integrations: IntegrationOperations) -> None:
        self._integrations = integrations

    @endpoint(
        "List what was, is and could not be sent to Linear",
        query=OutboxQuery,
        answer=Page[OutboxRow],
        errors=(*_NOT_FOUND, InvalidLimit, InvalidCursor),
    )
    def on_get(
        self, _req: Request, _resp: Response, workspace_id: str, query: OutboxQuery
    ) -> Page[OutboxRow]:
        """``GET /workspaces/{workspace_id}/integrations/linear/outbox`` → 200 page of rows."""
        return self._integrations.outbox(workspace_id, query)
