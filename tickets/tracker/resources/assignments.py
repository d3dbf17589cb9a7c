"""``/tasks/{task_id}/assignments``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import InvalidCursor, InvalidLimit, NotFound, TaskNotFound
from tickets.tracker.domain.documents import ArrayQuery, NewAssignment
from tickets.tracker.domain.records import Assignment, Outcome
from tickets.tracker.operations.assignments import AssignmentOperations
from tickets.web.arrays import NEXT_CURSOR_HEADER, cut_array
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint


class AssignmentCollection:
    """HTTP for a task's assignments."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint(
        "Reserve a task for an agent",
        body=NewAssignment,
        answer=Outcome,
        status=201,
        errors=(TaskNotFound,),
    )
    def on_post(
        self, _req: Request, _resp: Response, task_id: str, document: NewAssignment
    ) -> Outcome:
        """``POST /tasks/{task_id}/assignments`` → 201 ``{"status": "assigned"}``."""
        return self._assignments.assign(task_id, document)

    @endpoint(
        "List a task's assignments, oldest first",
        query=ArrayQuery,
        answer=list[Assignment],
        headers=(NEXT_CURSOR_HEADER,),
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, resp: Response, task_id: str, query: ArrayQuery
    ) -> list[Assignment]:
        """``GET /tasks/{task_id}/assignments`` → 200 ``[assignment, …]``, ended ones too."""
        reader = req.context.caller.reader
        return cut_array(
            resp, self._assignments.list_oldest_first(task_id, query, reader=reader)
        )


class AssignmentItem:
    """HTTP for one agent's assignment."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint("End an agent's assignment", answer=Outcome, errors=(NotFound,))
    def on_delete(self, _req: Request, _resp: Response, task_id: str, agent_id: str) -> Outcome:
        """``DELETE /tasks/{id}/assignments/{agent_id}`` → 200 ``{"status": "unassigned"}``."""
        return self._assignments.unassign(task_id, agent_id)
