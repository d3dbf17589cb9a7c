"""``/tasks/{task_id}/dependencies``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    DependencyCycle,
    DependencyTaskNotFound,
    DuplicateDependency,
    InvalidCursor,
    InvalidDependency,
    InvalidLimit,
    NotFound,
    TaskNotFound,
)
from tickets.tracker.domain.documents import ArrayQuery, NewDependency
from tickets.tracker.domain.records import Dependency, Outcome
from tickets.tracker.operations.dependencies import DependencyOperations
from tickets.web.arrays import NEXT_CURSOR_HEADER, cut_array
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint


class DependencyCollection:
    """HTTP for a task's dependencies."""

    def __init__(self, dependencies: DependencyOperations) -> None:
        self._dependencies = dependencies

    @endpoint(
        "Let a task wait for another",
        body=NewDependency,
        answer=Outcome,
        status=201,
        errors=(
            InvalidDependency,
            TaskNotFound,
            DependencyTaskNotFound,
            DuplicateDependency,
            DependencyCycle,
        ),
    )
    def on_post(
        self, _req: Request, _resp: Response, task_id: str, document: NewDependency
    ) -> Outcome:
        """``POST /tasks/{task_id}/dependencies`` → 201 ``{"status": "created"}``."""
        return self._dependencies.add(task_id, document.depends_on_task_id)

    @endpoint(
        "List a task's dependencies, oldest first",
        query=ArrayQuery,
        answer=list[Dependency],
        headers=(NEXT_CURSOR_HEADER,),
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, resp: Response, task_id: str, query: ArrayQuery
    ) -> list[Dependency]:
        """``GET /tasks/{task_id}/dependencies`` → 200 ``[dependency, …]``."""
        reader = req.context.caller.reader
        return cut_array(
            resp, self._dependencies.list_oldest_first(task_id, query, reader=reader)
        )


class DependencyItem:
    """HTTP for one dependency."""

    def __init__(self, dependencies: DependencyOperations) -> None:
        self._dependencies = dependencies

    @endpoint("Remove a dependency", answer=Outcome, errors=(NotFound,))
    def on_delete(
        self, _req: Request, _resp: Response, task_id: str, depends_on_task_id: str
    ) -> Outcome:
        """``DELETE /tasks/{id}/dependencies/{id}`` → 200 ``{"status": "deleted"}``."""
        return self._dependencies.remove(task_id, depends_on_task_id)
