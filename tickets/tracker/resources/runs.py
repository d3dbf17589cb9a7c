"""``/runs/{run_id}`` and how a run ends."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from tickets.errors import (
    Conflict,
    ExpectedStageMismatch,
    InvalidTransition,
    LeaseExpired,
    NotFound,
    RequiredGatesNotPassed,
    TaskVersionMismatch,
)
from tickets.tracker.domain.documents import FailRequest, OptionalReason, TransitionRequest
from tickets.tracker.domain.records import Outcome, Run, Transitioned
from tickets.tracker.operations.runs import RunOperations
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint


def check_lease(resource: Any, req: Request, run_id: str) -> None:
    """Refuse a caller without the run's live lease, before its body is found at fault."""
    runs: RunOperations = resource.runs
    runs.check_lease(run_id, holder=req.context.caller.holder)


class RunItem:
    """HTTP for one run."""

    def __init__(self, runs: RunOperations) -> None:
        self.runs = runs

    @endpoint("Get a run", answer=Run, errors=(NotFound,), access=Access.READER)
    def on_get(self, req: Request, _resp: Response, run_id: str) -> Run:
        """``GET /runs/{run_id}`` → 200 run."""
        return self.runs.get(run_id, reader=req.context.caller.reader)


class RunTransition:
    """HTTP for completing a run."""

    def __init__(self, runs: RunOperations) -> None:
        self.runs = runs

    @endpoint(
        "Complete a run and move its task on",
        before_body=check_lease,
        body=TransitionRequest,
        answer=Transitioned,
        errors=(
            InvalidTransition,
            NotFound,
            Conflict,
            ExpectedStageMismatch,
            TaskVersionMismatch,
            RequiredGatesNotPassed,
            LeaseExpired,
        ),
        access=Access.LEASE,
    )
    def on_post(
        self, req: Request, _resp: Response, run_id: str, document: TransitionRequest
    ) -> Transitioned:
        """``POST /runs/{run_id}/transition`` → 200 ``{previous_stage, new_stage, trigger}``."""
        return self.runs.transition(run_id, document, holder=req.context.caller.holder)


class RunFail:
    """HTTP for failing a run."""

    def __init__(self, runs: RunOperations) -> None:
        self.runs = runs

    @endpoint(
        "Fail a run; its task is retried or given up",
        before_body=check_lease,
        body=FailRequest,
        answer=Outcome,
        errors=(NotFound, Conflict, LeaseExpired),
        access=Access.LEASE,
    )
    def on_post(
        self, req: Request, _resp: Response, run_id: str, document: FailRequest
    ) -> Outcome:
        """``POST /runs/{run_id}/fail`` → 200 ``{"status": "failed"}``."""
        return self.runs.fail(run_id, document, holder=req.context.caller.holder)


class RunRelease:
    """HTTP for giving a task back."""

    def __init__(self, runs: RunOperations) -> None:
        self.runs = runs

    @endpoint(
        "Give a task back unworked, at no charge",
        before_body=check_lease,
        body=OptionalReason,
        body_optional=True,
        answer=Outcome,
        errors=(NotFound, Conflict, LeaseExpired),
        access=Access.LEASE,
    )
    def on_post(
        self, req: Request, _resp: Response, run_id: str, document: OptionalReason
    ) -> Outcome:
        """``POST /runs/{run_id}/release`` → 200 ``{"status": "released"}``."""
        holder = req.context.caller.holder
        return self.runs.release(run_id, reason=document.reason, holder=holder)
