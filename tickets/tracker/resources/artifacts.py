"""``/artifacts``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    InvalidCursor,
    InvalidLimit,
    RunNotFound,
    RunTaskMismatch,
    TaskNotFound,
)
from tickets.tracker.domain.documents import ArtifactQuery, NewArtifact
from tickets.tracker.domain.records import Artifact, Created
from tickets.tracker.operations.artifacts import ArtifactOperations
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class ArtifactCollection:
    """HTTP for artifacts."""

    def __init__(self, artifacts: ArtifactOperations) -> None:
        self._artifacts = artifacts

    @endpoint(
        "Attach an artifact to a task, a run, both or neither",
        body=NewArtifact,
        answer=Created,
        status=201,
        errors=(TaskNotFound, RunNotFound, RunTaskMismatch),
        access=Access.READER,
    )
    def on_post(self, req: Request, _resp: Response, document: NewArtifact) -> Created:
        """``POST /artifacts`` → 201 ``{"id": str}``."""
        reader = req.context.caller.reader
        return Created(id=self._artifacts.create(document, reader=reader))

    @endpoint(
        "List artifacts, oldest first",
        query=ArtifactQuery,
        answer=Page[Artifact],
        errors=(InvalidLimit, InvalidCursor),
        access=Access.READER,
    )
    def on_get(self, req: Request, _resp: Response, query: ArtifactQuery) -> Page[Artifact]:
        """``GET /artifacts?task_id=&run_id=&limit=&cursor=`` → 200 page of artifacts."""
        return self._artifacts.list_oldest_first(query, reader=req.context.caller.reader)
