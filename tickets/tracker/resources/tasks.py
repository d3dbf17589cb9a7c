"""``/tasks`` and one task."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    DependencyCycle,
    DuplicateDependency,
    Invalid,
    InvalidCursor,
    InvalidDependency,
    InvalidLimit,
    NotDeadLettered,
    NotFound,
    PipelineNotFound,
    TaskLeased,
    TaskNotFound,
    TaskTerminal,
    TaskVersionMismatch,
)
from tickets.tracker.domain.documents import (
    BulkTask,
    BulkTasks,
    NewTask,
    OptionalReason,
    PageQuery,
    RequeueRequest,
    RunState,
    TaskChanges,
    TaskQuery,
    WhyQuery,
)
from tickets.tracker.domain.records import (
    Created,
    CreatedMany,
    Event,
    Outcome,
    Run,
    Task,
    TaskDetails,
    TaskRunState,
    Why,
)
from tickets.tracker.operations.dead_letters import DeadLetterOperations
from tickets.tracker.operations.events import EventOperations
from tickets.tracker.operations.runs import RunOperations
from tickets.tracker.operations.task_creation import TaskCreationOperations
from tickets.tracker.operations.task_details import TaskDetailOperations
from tickets.tracker.operations.tasks import TaskOperations
from tickets.web.auth import Access
from tickets.web.body import convert
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class TaskCollection:
    """HTTP for all tasks."""

    def __init__(self, creation: TaskCreationOperations, tasks: TaskOperations) -> None:
        self._creation = creation
        self._tasks = tasks

    @endpoint(
        "Create a task",
        body=NewTask,
        answer=Created,
        status=201,
        errors=(Invalid, PipelineNotFound, TaskNotFound, DuplicateDependency),
    )
    def on_post(self, _req: Request, _resp: Response, document: NewTask) -> Created:
        """``POST /tasks`` → 201 ``{"id": str}``."""
        return Created(id=self._creation.create(document))

    @endpoint(
        "List tasks, oldest first",
        query=TaskQuery,
        answer=Page[Task],
        errors=(InvalidLimit, InvalidCursor),
    )
    def on_get(self, _req: Request, _resp: Response, query: TaskQuery) -> Page[Task]:
        """``GET /tasks?stage=&pipeline_id=&limit=&cursor=`` → 200 page of tasks.

        ``dead_lettered=true`` keeps those that were given up or cancelled.
        """
        return self._tasks.list_oldest_first(query)


class TaskBulk:
    """HTTP for many new tasks at once."""

    def __init__(self, creation: TaskCreationOperations) -> None:
        self._creation = creation

    @endpoint(
        "Create many tasks, all or none",
        body=BulkTasks,
        body_items=("tasks", BulkTask),
        answer=CreatedMany,
        status=201,
        errors=(
            Invalid,
            InvalidDependency,
            PipelineNotFound,
            TaskNotFound,
            DuplicateDependency,
            DependencyCycle,
        ),
    )
    def on_post(self, _req: Request, _resp: Response, document: BulkTasks) -> CreatedMany:
        """``POST /tasks/bulk`` → 201 ``{"ids": [str, …]}``; a refusal names the item.

        At most 10 000 items, all of them or none; the ids come in the order of the items.
        ``depends_on_refs`` may name the ``ref`` of any sibling, also of a later one.
        """
        return CreatedMany(ids=self._creation.create_many(_items(document)))


class TaskItem:
    """HTTP for one task."""

    def __init__(self, tasks: TaskOperations, details: TaskDetailOperations) -> None:
        self._tasks = tasks
        self._details = details

    @endpoint(
        "Get a task and all that belongs to it",
        answer=TaskDetails,
        errors=(NotFound,),
        access=Access.READER,
    )
    def on_get(self, req: Request, _resp: Response, task_id: str) -> TaskDetails:
        """``GET /tasks/{task_id}`` → 200 task with run, dependencies, assignments, exits."""
        return self._details.get(task_id, reader=req.context.caller.reader)

    @endpoint(
        "Change a task; what is absent stays",
        body=TaskChanges,
        answer=Task,
        errors=(Invalid, NotFound, TaskVersionMismatch),
    )
    def on_patch(
        self, _req: Request, _resp: Response, task_id: str, document: TaskChanges
    ) -> Task:
        """``PATCH /tasks/{task_id}`` → 200 task, its version unchanged."""
        return self._tasks.change(task_id, document)


class TaskWhy:
    """HTTP for the reasons why a task cannot be claimed."""

    def __init__(self, details: TaskDetailOperations) -> None:
        self._details = details

    @endpoint(
        "Tell why a task cannot be claimed now",
        query=WhyQuery,
        answer=Why,
        errors=(NotFound,),
        access=Access.READER,
    )
    def on_get(self, req: Request, _resp: Response, task_id: str, query: WhyQuery) -> Why:
        """``GET /tasks/{task_id}/why?agent_id=`` → 200 ``{"claimable", "reasons"}``."""
        reader = req.context.caller.reader
        return self._details.why(task_id, agent_id=query.agent_id, reader=reader)


class TaskRunStateItem:
    """HTTP for an orchestrator's own run of a task."""

    def __init__(self, details: TaskDetailOperations) -> None:
        self._details = details

    @endpoint(
        "Get the orchestrator's run of a task",
        answer=TaskRunState,
        errors=(TaskNotFound, NotFound),
    )
    def on_get(self, _req: Request, _resp: Response, task_id: str) -> TaskRunState:
        """``GET /tasks/{task_id}/run-state`` → 200 ``{"run_id", "workflow_state"}``."""
        return self._details.get_run_state(task_id)

    @endpoint(
        "Set the orchestrator's run of a task",
        body=RunState,
        answer=Outcome,
        errors=(TaskNotFound,),
    )
    def on_put(
        self, _req: Request, _resp: Response, task_id: str, document: RunState
    ) -> Outcome:
        """``PUT /tasks/{task_id}/run-state`` → 200 ``{"status": "updated"}``."""
        return self._details.set_run_state(task_id, document)


class TaskCancel:
    """HTTP for cancelling a task."""

    def __init__(self, dead_letters: DeadLetterOperations) -> None:
        self._dead_letters = dead_letters

    @endpoint(
        "Cancel a task for good; a live run ends",
        body=OptionalReason,
        body_optional=True,
        answer=Outcome,
        errors=(NotFound, TaskTerminal),
    )
    def on_post(
        self, _req: Request, _resp: Response, task_id: str, document: OptionalReason
    ) -> Outcome:
        """``POST /tasks/{task_id}/cancel`` → 200 ``{"status": "cancelled"}``, also again."""
        return self._dead_letters.cancel(task_id, reason=document.reason)


class TaskRequeue:
    """HTTP for reviving a task."""

    def __init__(self, dead_letters: DeadLetterOperations) -> None:
        self._dead_letters = dead_letters

    @endpoint(
        "Take a task out of the dead letter",
        body=RequeueRequest,
        body_optional=True,
        answer=Outcome,
        errors=(Invalid, NotFound, NotDeadLettered, TaskLeased),
    )
    def on_post(
        self, _req: Request, _resp: Response, task_id: str, document: RequeueRequest
    ) -> Outcome:
        """``POST /tasks/{task_id}/requeue`` → 200 ``{"status": "requeued"}``."""
        return self._dead_letters.requeue(task_id, stage=document.stage)


class TaskRuns:
    """HTTP for a task's runs."""

    def __init__(self, runs: RunOperations) -> None:
        self._runs = runs

    @endpoint(
        "List a task's runs, by attempt",
        query=PageQuery,
        answer=Page[Run],
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, _resp: Response, task_id: str, query: PageQuery
    ) -> Page[Run]:
        """``GET /tasks/{task_id}/runs?limit=&cursor=`` → 200 page of runs."""
        return self._runs.list_of_task(task_id, query, reader=req.context.caller.reader)


class TaskEvents:
    """HTTP for the events of all runs of a task."""

    def __init__(self, events: EventOperations) -> None:
        self._events = events

    @endpoint(
        "List the events of all runs of a task",
        query=PageQuery,
        answer=Page[Event],
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, _resp: Response, task_id: str, query: PageQuery
    ) -> Page[Event]:
        """``GET /tasks/{task_id}/events?limit=&cursor=`` → 200 page of events, by id."""
        return self._events.list_of_task(task_id, query, reader=req.context.caller.reader)


def _items(document: BulkTasks) -> list[BulkTask]:
    """Read the items one by one, so that a refusal names the first bad one."""
    items: list[BulkTask] = []
    for index, item in enumerate(document.tasks):
        try:
            items.append(convert(item, BulkTask))
        except Invalid as error:
            error.details = {"index": index, "problems": error.details}
            raise
    return items
