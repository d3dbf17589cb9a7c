"""``/runs/{run_id}/gates``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import InvalidCursor, InvalidLimit, InvalidStatus, LeaseExpired, NotFound
from tickets.tracker.domain.documents import ArrayQuery, NewGateResult
from tickets.tracker.domain.records import CreatedRow, GateResult
from tickets.tracker.operations.gates import GateOperations
from tickets.tracker.operations.runs import RunOperations
from tickets.tracker.resources.runs import check_lease
from tickets.web.arrays import NEXT_CURSOR_HEADER, cut_array
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint


class RunGates:
    """HTTP for a run's gate results."""

    def __init__(self, gates: GateOperations, runs: RunOperations) -> None:
        self._gates = gates
        self.runs = runs

    @endpoint(
        "Record the result of a quality gate",
        before_body=check_lease,
        body=NewGateResult,
        answer=CreatedRow,
        status=201,
        errors=(InvalidStatus, NotFound, LeaseExpired),
        access=Access.LEASE,
    )
    def on_post(
        self, req: Request, _resp: Response, run_id: str, document: NewGateResult
    ) -> CreatedRow:
        """``POST /runs/{run_id}/gates`` → 201 ``{"id": int}``."""
        holder = req.context.caller.holder
        return CreatedRow(id=self._gates.append(run_id, document, holder=holder))

    @endpoint(
        "List a run's gate results",
        query=ArrayQuery,
        answer=list[GateResult],
        headers=(NEXT_CURSOR_HEADER,),
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, resp: Response, run_id: str, query: ArrayQuery
    ) -> list[GateResult]:
        """``GET /runs/{run_id}/gates`` → 200 ``[result, …]``, by id."""
        reader = req.context.caller.reader
        return cut_array(resp, self._gates.list_of_run(run_id, query, reader=reader))
