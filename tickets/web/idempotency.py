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

        Raises IdempotencyConflict for a known key with another body.
        """
        identity = _identity(req)
        request_hash = hashlib.sha256(req.context.body).digest()
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
    """Name the request by caller, key, method and decoded path, however that was spelled."""
    key: str = req.env["HTTP_IDEMPOTENCY_KEY"].lstrip(" ")
    if len(key) > MAX_KEY_BYTES:
        raise Invalid.field("Idempotency-Key", f"must not be longer than {MAX_KEY_BYTES} bytes")
    return {
        "principal": req.context.caller.principal,
        "key": key,
        "method": req.method,
        "route": to_json(path_segments(req.env)),
    }


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
