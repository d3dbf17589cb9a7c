"""``/ledger/tasks``, ``/ledger/stale``, the watchdog, and the repair of snapshots."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidLimit, InvalidState, TaskNotFound
from tickets.ledger.domain.documents import (
    LedgerTasksQuery,
    ScopeQuery,
    StaleQuery,
    SweepRequest,
)
from tickets.ledger.domain.records import (
    LedgerSnapshot,
    LedgerTask,
    Rebuilt,
    StaleLedgerTasks,
    Swept,
    Verified,
)
from tickets.ledger.operations.tasks import LedgerTaskOperations
from tickets.ledger.operations.watchdog import WatchdogOperations
from tickets.ledger.resources.scope import scope_of
from tickets.web.endpoint import endpoint
from tickets.web.headers import WORKSPACE_HEADER
from tickets.web.pages import Page


class LedgerTaskCollection:
    """HTTP for all tasks."""

    def __init__(self, tasks: LedgerTaskOperations) -> None:
        self._tasks = tasks

    @endpoint(
        "List where tasks stand, by their names",
        query=LedgerTasksQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Page[LedgerSnapshot],
        errors=(Invalid, InvalidLimit, InvalidCursor, InvalidState),
    )
    def on_get(
        self, req: Request, _resp: Response, query: LedgerTasksQuery
    ) -> Page[LedgerSnapshot]:
        """``GET /ledger/tasks?state=&terminal=&source=&actor=&prefix=&limit=&cursor=`` → 200.

        A page of snapshots by ``req``.
        """
        return self._tasks.list_by_req(query, scope=scope_of(req, query))


class LedgerTaskItem:
    """HTTP for one task."""

    def __init__(self, tasks: LedgerTaskOperations) -> None:
        self._tasks = tasks

    @endpoint(
        "Get where a task stands",
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerTask,
        errors=(TaskNotFound,),
    )
    def on_get(
        self, request: Request, _resp: Response, req: str, query: ScopeQuery
    ) -> LedgerTask:
        """``GET /ledger/tasks/{req}`` → 200 snapshot with ``allowed_next``."""
        return self._tasks.get(req, scope=scope_of(request, query))


class StaleTasks:
    """HTTP for tasks that went quiet."""

    def __init__(self, tasks: LedgerTaskOperations) -> None:
        self._tasks = tasks

    @endpoint(
        "List open tasks that went quiet",
        query=StaleQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=StaleLedgerTasks,
        errors=(Invalid, InvalidLimit, InvalidState),
    )
    def on_get(self, req: Request, _resp: Response, query: StaleQuery) -> StaleLedgerTasks:
        """``GET /ledger/stale?threshold_ms=&running_ms=&…&state=&limit=`` → 200.

        The most overdue first. ``threshold_ms`` is for every state, the others for one each.
        """
        return self._tasks.find_stale(query, scope=scope_of(req, query))


class WatchdogSweep:
    """HTTP for a sweep."""

    def __init__(self, watchdog: WatchdogOperations) -> None:
        self._watchdog = watchdog

    @endpoint(
        "Mark tasks that went quiet",
        body=SweepRequest,
        body_optional=True,
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Swept,
        errors=(Invalid, InvalidState),
    )
    def on_post(
        self, req: Request, _resp: Response, document: SweepRequest, query: ScopeQuery
    ) -> Swept:
        """``POST /ledger/watchdog/sweep`` → 200 counts.

        ``timeouts`` end what is in a state for so long. With ``mark`` false nothing is written.
        """
        return self._watchdog.sweep(document, scope=scope_of(req, query))


class LedgerVerify:
    """HTTP for the comparison of snapshots and events."""

    def __init__(self, tasks: LedgerTaskOperations) -> None:
        self._tasks = tasks

    @endpoint(
        "Compare every snapshot with its events",
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Verified,
    )
    def on_get(self, req: Request, _resp: Response, query: ScopeQuery) -> Verified:
        """``GET /ledger/verify`` → 200 ``{"ok": bool, "differing": [req, …]}``.

        Reads the whole log.
        """
        return self._tasks.verify(scope=scope_of(req, query))


class LedgerRebuild:
    """HTTP for the repair of snapshots."""

    def __init__(self, tasks: LedgerTaskOperations) -> None:
        self._tasks = tasks

    @endpoint(
        "Mend every snapshot from its events",
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Rebuilt,
    )
    def on_post(self, req: Request, _resp: Response, query: ScopeQuery) -> Rebuilt:
        """``POST /ledger/rebuild`` → 200 counts. Reads the whole log while writers wait."""
        return self._tasks.rebuild(scope=scope_of(req, query))
