"""``/pipelines``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import DuplicateName, InvalidCursor, NotFound, ValidationFailed
from tickets.tracker.domain.documents import NewPipeline, PipelinesQuery
from tickets.tracker.domain.records import NewPipelineAnswer, Pipeline
from tickets.tracker.operations.pipelines import PipelineOperations
from tickets.web.arrays import NEXT_CURSOR_HEADER, cut_array
from tickets.web.endpoint import endpoint


class PipelineCollection:
    """HTTP for all pipelines."""

    def __init__(self, pipelines: PipelineOperations) -> None:
        self._pipelines = pipelines

    @endpoint(
        "Create a pipeline",
        body=NewPipeline,
        answer=NewPipelineAnswer,
        status=201,
        errors=(ValidationFailed, DuplicateName),
    )
    def on_post(
        self, _req: Request, _resp: Response, document: NewPipeline
    ) -> NewPipelineAnswer:
        """``POST /pipelines`` → 201 ``{"id": str, "warnings"?: [str]}``."""
        return self._pipelines.create(document)

    @endpoint(
        "List pipelines, newest first",
        query=PipelinesQuery,
        answer=list[Pipeline],
        headers=(NEXT_CURSOR_HEADER,),
        errors=(InvalidCursor,),
    )
    def on_get(self, _req: Request, resp: Response, query: PipelinesQuery) -> list[Pipeline]:
        """``GET /pipelines?limit=&cursor=`` → 200 ``[pipeline, …]``, all without ``limit``."""
        return cut_array(resp, self._pipelines.list_newest_first(query))


class PipelineItem:
    """HTTP for one pipeline."""

    def __init__(self, pipelines: PipelineOperations) -> None:
        self._pipelines = pipelines

    @endpoint("Get a pipeline", answer=Pipeline, errors=(NotFound,))
    def on_get(self, _req: Request, _resp: Response, pipeline_id: str) -> Pipeline:
        """``GET /pipelines/{pipeline_id}`` → 200 pipeline."""
        return self._pipelines.get(pipeline_id)
