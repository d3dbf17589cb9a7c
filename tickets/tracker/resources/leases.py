"""``/leases``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from falcon import Request, Response

from tickets.errors import IdempotencyConflict, Invalid, LeaseExpired, NotFound
from tickets.tracker.domain.documents import ClaimRequest, HeartbeatRequest
from tickets.tracker.domain.records import Claim, Claims, Heartbeat
from tickets.tracker.operations.facts import CLAIM_TIME, CLAIMS, claim_topic, stage_topic
from tickets.tracker.operations.leases import HEARTBEAT_PATIENCE_MS, LeaseOperations
from tickets.web.answers import to_json
from tickets.web.auth import Access
from tickets.web.body import read_document
from tickets.web.endpoint import endpoint
from tickets.web.idempotency import once
from tickets.web.metrics import Metrics
from tickets.web.waiting import Waiting, client_is_gone


class LeaseClaim:
    """HTTP for claims."""

    def __init__(self, leases: LeaseOperations, waiting: Waiting, metrics: Metrics) -> None:
        self._leases = leases
        self._waiting = waiting
        self._metrics = metrics

    @endpoint(
        "Claim the next task for a role",
        body=ClaimRequest,
        answer=(Claim, Claims),
        empty=True,
        headers=("Retry-After",),
        replays_itself=True,
    )
    def on_post(
        self, req: Request, resp: Response, document: ClaimRequest
    ) -> Claim | Claims | bytes | None:
        """``POST /leases/claim`` → 200 claim, or 200 ``{"claims": […]}``, or 204 for none.

        With ``wait_ms`` it waits for a task; a 204 carries ``Retry-After`` where the moment
        is known at which a task comes free by itself, or where there was no place to wait.
        """
        answer: Claim | Claims | bytes | None = self._waiting.until(
            lambda: once(
                req,
                resp,
                lambda: self._claim(document),
                redact=_without_tokens,
                replay=lambda recorded: self._replay(req, recorded),
            ),
            is_enough=lambda answer: answer is not None,
            topics=_topics(document),
            wait_ms=document.wait_ms or 0,
            is_gone=lambda: client_is_gone(req),
            # Or the agents that found no place would ask again without a pause.
            on_full=lambda: resp.set_header("Retry-After", "1"),
        )
        self._metrics.count(CLAIMS, _outcome(answer))
        if answer is None and resp.get_header("Retry-After") is None:
            until_ms = self._leases.until_next_moment_ms(document)
            if until_ms is not None:
                resp.set_header("Retry-After", str(max(1, -(-until_ms // 1000))))
        return answer

    def _claim(self, document: ClaimRequest) -> Claim | Claims | None:
        with self._metrics.timed(CLAIM_TIME):
            claims = self._leases.claim(document)
        if not claims:
            return None
        return claims[0] if document.max_tasks is None else Claims(claims=claims)

    def _replay(self, req: Request, recorded: dict[str, Any]) -> bytes:
        """Answer a repeated claim with fresh tokens for those leases that still run."""
        if client_is_gone(req):
            # It gave up waiting and asked anew, and that was answered first: fresh tokens that
            # nobody reads would lock out the agent that has the last ones.
            raise IdempotencyConflict("The client that asked for this claim is gone")
        claims: list[dict[str, Any]] = recorded.get("claims", [recorded])
        renewed = self._leases.renew_tokens([claim["lease_id"] for claim in claims])
        live = [claim for claim in claims if claim["lease_id"] in renewed]
        for claim in live:
            claim["lease_token"], claim["expires_at_ms"] = renewed[claim["lease_id"]]
        return to_json({"claims": live} if "claims" in recorded else live[0]).encode()


class LeaseHeartbeat:
    """HTTP for keeping a lease alive."""

    def __init__(self, leases: LeaseOperations) -> None:
        self._leases = leases

    @endpoint(
        "Keep a lease alive",
        body_shown=HeartbeatRequest,
        answer=Heartbeat,
        errors=(NotFound, LeaseExpired),
        access=Access.LEASE,
        patience_ms=HEARTBEAT_PATIENCE_MS,
    )
    def on_post(self, req: Request, _resp: Response, lease_id: str) -> Heartbeat:
        """``POST /leases/{lease_id}/heartbeat`` → 200 ``{"expires_at_ms": int}``.

        A body that is not ``{"lease_ttl_ms": int}`` is ignored, whatever it holds.
        """
        return self._leases.heartbeat(
            lease_id, holder=req.context.caller.holder, ttl_ms=_asked_ttl_ms(req)
        )


def _topics(document: ClaimRequest) -> Sequence[str]:
    role, agent_id = document.agent_role, document.agent_id
    topics = [claim_topic(role, None), claim_topic(role, agent_id)]
    if document.concurrency is not None:
        topics += [stage_topic(stage) for stage in document.concurrency.per_state or ()]
    return topics


def _outcome(answer: Claim | Claims | bytes | None) -> str:
    if answer is None:
        return "empty"
    # What is replayed is written already.
    return "replayed" if isinstance(answer, bytes) else "granted"


def _without_tokens(answer: Claim | Claims) -> Claim | Claims:
    if isinstance(answer, Claim):
        return msgspec.structs.replace(answer, lease_token="")
    return Claims(
        claims=[msgspec.structs.replace(claim, lease_token="") for claim in answer.claims]
    )


def _asked_ttl_ms(req: Request) -> int | None:
    try:
        return read_document(req.context.body, HeartbeatRequest).lease_ttl_ms
    except Invalid:
        return None
