"""Idempotency keys: the answer is recorded in the transaction of the work it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from falcon import Request, Response

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.db.repeating import repeated
from tickets.errors import IdempotencyConflict, Invalid
from tickets.web.answers import encode, to_json
from tickets.web.headers import ACTOR_HEADER, WORKSPACE_HEADER, WORKSPACE_PARAMETER
from tickets.web.rawpath import path_segments

MAX_KEY_BYTES = 512
# Those that say something of the answer, as its body does.
KEPT_HEADERS = ("ETag", "Location")

Work = Callable[[], Any]


class IdempotencyKeys:
    """Replays or records answers to writes; one for each application."""

    def __init__(self, db: Database, clock: Clock, *, retention_ms: int) -> None:
        self._db = db
        self._clock = clock
        self._retention_ms = retention_ms

    def once(
        self,
        req: Request,
        resp: Response,
        work: Work,
        *,
        redact: Callable[[Any], Any] | None,
        replay: Callable[[Any], Any] | None,
        patience_ms: int | None,
    ) -> Any:
        """Return the recorded answer to this key, or do ``work`` and record its answer.

        Record and work are one transaction, so duplicates that come at the same time are
        done one after the other. Only success is recorded; a claim that found nothing
        (None with status 200) is no success. ``redact`` takes secrets out of what is stored
        and ``replay`` makes an answer of the stored document, in the same transaction.

        Raises IdempotencyConflict for a known key with another body, or of another actor.
        """
        identity = _identity(req)
        request_hash = _request_hash(req)
        with self._db.write(patience_ms) as tx:
            tx.hold("idempotency.lock", **identity)
            now_ms = self._clock.now_ms()
            row = tx.one(
                "idempotency.find", **identity, created_after_ms=now_ms - self._retention_ms
            )
            if row is not None:
                if row["request_hash"] != request_hash:
                    raise IdempotencyConflict
                return _replayed(resp, row, replay)
            answer = work()
            if answer is None and resp.status_code == 200:
                return None
            shown = redact(answer) if redact is not None else answer
            _record(
                tx,
                identity,
                request_hash,
                204 if answer is None else resp.status_code,
                _headers_json(resp),
                shown,
                now_ms,
            )
            return answer


def once(
    req: Request,
    resp: Response,
    work: Work,
    *,
    redact: Callable[[Any], Any] | None = None,
    replay: Callable[[Any], Any] | None = None,
    patience_ms: int | None = None,
) -> Any:
    """Do ``work``, at most once where the request carries an ``Idempotency-Key``.

    Where another writer was in its way it is done anew: nothing was answered yet.
    """
    if req.env.get("HTTP_IDEMPOTENCY_KEY") is None:
        return repeated(work)
    keys: IdempotencyKeys = req.context.idempotency
    return repeated(
        lambda: keys.once(
            req, resp, work, redact=redact, replay=replay, patience_ms=patience_ms
        ),
        is_recorded=True,
    )


def _identity(req: Request) -> dict[str, str]:
    """Name the request by caller, key, method, decoded path and the workspace it is sent to."""
    key: str = req.env["HTTP_IDEMPOTENCY_KEY"].lstrip(" ")
    if len(key) > MAX_KEY_BYTES:
        raise Invalid.field("Idempotency-Key", f"must not be longer than {MAX_KEY_BYTES} bytes")
    return {
        "principal": req.context.caller.principal,
        "key": key,
        "method": req.method,
        "route": to_json([*path_segments(req.env), *_workspaces(req)]),
    }


def _workspaces(req: Request) -> list[dict[str, str]]:
    """Return where a request names a workspace, so that keys of two are apart."""
    named = {
        "header": req.get_header(WORKSPACE_HEADER),
        "query": req.get_param(WORKSPACE_PARAMETER),
    }
    given = {place: id_ for place, id_ in named.items() if id_ is not None}
    return [given] if given else []


def _request_hash(req: Request) -> bytes:
    """Return what two requests have in common only if the second one is a repeat."""
    parts = [req.context.body]
    actor = req.get_header(ACTOR_HEADER)
    if actor is not None:
        # A NUL is in no header and in no JSON.
        parts.append(b"\0" + actor.encode())
    return hashlib.sha256(b"".join(parts)).digest()


def _replayed(resp: Response, row: Any, replay: Callable[[Any], Any] | None) -> Any:
    resp.status = row["response_status"]
    if row["response_headers_json"] is not None:
        resp.set_headers(json.loads(row["response_headers_json"]))
    if row["response_status"] == 204:
        return None
    if replay is None:
        return row["response_json"].encode()
    return replay(json.loads(row["response_json"]))


def _headers_json(resp: Response) -> str | None:
    kept = {
        name: value for name in KEPT_HEADERS if (value := resp.get_header(name)) is not None
    }
    return to_json(kept) if kept else None


def _record(
    tx: Transaction,
    identity: dict[str, str],
    request_hash: bytes,
    status: int,
    headers_json: str | None,
    answer: Any,
    now_ms: int,
) -> None:
    stored = answer if isinstance(answer, bytes) else encode(answer)
    tx.run(
        "idempotency.record",
        **identity,
        request_hash=request_hash,
        response_status=status,
        response_json=stored.decode(),
        created_at_ms=now_ms,
        response_headers_json=headers_json,
    )
