"""What a row of a nullTickets database becomes here; either era, missing columns included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from tickets.tracker.domain.documents import MAX_LEASE_TTL_MS
from tickets.tracker.domain.foreign_values import (
    integer,
    optional_integer,
    optional_texts,
    plain,
    readable_json,
    texts,
)

Row: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = dict[str, Any]

RUN_STATUSES: Final = frozenset({"completed", "failed", "stale"})
TOKEN_HASH_BYTES: Final = 32

# Writes whose answers mean the same here, and the path below them. A claim's answer holds a
# token, and what ended a lease could only be repeated by the token of a lease that is gone.
_API_ROUTES: Final = (
    ("POST", ("pipelines",)),
    ("POST", ("tasks",)),
    ("POST", ("tasks", "bulk")),
    ("POST", ("tasks", "*", "dependencies")),
    ("POST", ("tasks", "*", "assignments")),
    ("DELETE", ("tasks", "*", "assignments", "*")),
    ("POST", ("artifacts",)),
    ("POST", ("v1", "traces")),
    ("POST", ("otlp", "v1", "traces")),
    ("PUT", ("store", "*", "*")),
    ("DELETE", ("store", "*")),
    ("DELETE", ("store", "*", "*")),
)
_RUN_ROUTES: Final = (
    ("POST", ("runs", "*", "events")),
    ("POST", ("runs", "*", "gates")),
)


class Translation:
    """Turns rows into parameters; ``changed`` counts what could not be taken as it was."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.changed: Counter[str] = Counter()

    def task(self, row: Row) -> Columns:
        """Return a task's own columns; what depends on other rows is computed later."""
        created_at_ms = integer(row["created_at_ms"])
        next_eligible_at_ms = self._at_least(0, row["next_eligible_at_ms"], "a negative time")
        is_dead = row["dead_letter_reason"] is not None
        return {
            **texts(row, "id", "pipeline_id", "stage", "title", "description"),
            "priority": integer(row["priority"]),
            "metadata_json": self.json(row["metadata_json"], "{}"),
            "task_version": integer(row["task_version"], 1),
            "next_eligible_at_ms": next_eligible_at_ms,
            "max_attempts": None
            if row["max_attempts"] is None
            else self._at_least(1, row["max_attempts"], "max_attempts below 1"),
            "retry_delay_ms": self._at_least(0, row["retry_delay_ms"], "a negative delay"),
            **optional_texts(row, "dead_letter_stage", "dead_letter_reason", "run_id"),
            "workflow_state_json": self._optional_json(row["workflow_state_json"]),
            "created_at_ms": created_at_ms,
            "updated_at_ms": integer(row["updated_at_ms"], created_at_ms),
            "is_dead": int(is_dead),
            "is_delayed": int(not is_dead and next_eligible_at_ms > self._now_ms),
        }

    def run(self, row: Row) -> Columns:
        """Return a run. A running one is stale, without an end, until its lease is found."""
        is_running = row["status"] == "running"
        status = row["status"] if row["status"] in RUN_STATUSES else "stale"
        started_at_ms = optional_integer(row["started_at_ms"])
        ended_at_ms = optional_integer(row["ended_at_ms"])
        if ended_at_ms is None:
            ended_at_ms = self._now_ms if started_at_ms is None else started_at_ms
        return {
            **texts(row, "id", "task_id"),
            "attempt": integer(row["attempt"]),
            "status": status,
            **optional_texts(row, "agent_id", "agent_role"),
            "started_at_ms": started_at_ms,
            "ended_at_ms": None if is_running else ended_at_ms,
            "usage_json": self.json(row["usage_json"], "{}"),
            **optional_texts(row, "error_text"),
        }

    def lease(self, row: Row, run: Row) -> Columns:
        """Return a lease of ``run``, our row of it; its ttl is how far it last reached.

        A heartbeat at the instant of the claim is the claim itself.
        """
        expires_at_ms = integer(row["expires_at_ms"])
        heartbeat_ms = optional_integer(row["last_heartbeat_ms"])
        started_at_ms: int | None = run["started_at_ms"]
        if started_at_ms is None:
            started_at_ms = expires_at_ms if heartbeat_ms is None else heartbeat_ms
        if heartbeat_ms == started_at_ms:
            heartbeat_ms = None
        reached_from_ms = started_at_ms if heartbeat_ms is None else heartbeat_ms
        return {
            **texts(row, "id", "agent_id"),
            "run_id": run["id"],
            "task_id": run["task_id"],
            "agent_role": run["agent_role"] or "",
            "token_hash": row["token_hash"],
            "ttl_ms": min(max(1, expires_at_ms - reached_from_ms), MAX_LEASE_TTL_MS),
            "granted_at_ms": started_at_ms,
            "expires_at_ms": expires_at_ms,
            "last_heartbeat_ms": heartbeat_ms,
            "status": "active" if run["status"] == "running" else "revoked",
        }

    def event(self, row: Row) -> Columns:
        """Return an event; who wrote it is decided once all events of its run are there."""
        return {
            "id": integer(row["id"]),
            **texts(row, "run_id", "kind"),
            "ts_ms": integer(row["ts_ms"]),
            "data_json": self.json(row["data_json"], "{}"),
        }

    def gate_result(self, row: Row) -> Columns:
        """Return a gate result; what does not say pass has not passed."""
        return {
            "id": integer(row["id"]),
            **texts(row, "run_id", "gate"),
            "status": "pass" if row["status"] == "pass" else "fail",
            "evidence_json": self.json(row["evidence_json"], "{}"),
            **optional_texts(row, "actor"),
            "ts_ms": integer(row["ts_ms"]),
        }

    def artifact(self, row: Row) -> Columns:
        """Return an artifact."""
        return {
            **texts(row, "id", "kind", "uri"),
            **optional_texts(row, "task_id", "run_id", "sha256_hex"),
            "created_at_ms": integer(row["created_at_ms"]),
            "size_bytes": optional_integer(row["size_bytes"]),
            "meta_json": self.json(row["meta_json"], "{}"),
        }

    def batch(self, row: Row) -> Columns:
        """Return an OTLP batch; its body is kept to the byte."""
        blob = row["payload_blob"]
        return {
            "id": integer(row["id"]),
            "received_at_ms": integer(row["received_at_ms"]),
            **texts(row, "content_type"),
            **optional_texts(row, "payload_json"),
            "payload_blob": blob.encode() if isinstance(blob, str) else blob,
            "parsed_spans": integer(row["parsed_spans"]),
        }

    def span(self, row: Row) -> Columns:
        """Return an OTLP span."""
        return {
            "id": integer(row["id"]),
            "batch_id": integer(row["batch_id"]),
            **texts(row, "trace_id", "span_id", "name"),
            **optional_texts(row, "parent_span_id", "kind", "status_code", "status_message"),
            **optional_texts(row, "scope_name", "scope_version", "run_id", "task_id"),
            "start_time_unix_nano": optional_integer(row["start_time_unix_nano"]),
            "end_time_unix_nano": optional_integer(row["end_time_unix_nano"]),
            "attributes_json": self.json(row["attributes_json"], "[]"),
            "resource_attributes_json": self.json(row["resource_attributes_json"], "[]"),
            "raw_json": self.json(row["raw_json"], "{}"),
        }

    def json(self, value: object, default: str) -> str:
        """Return JSON text that every reader here can take; ``default`` for null."""
        if value is None:
            return default
        text = plain(value)
        readable = readable_json(text)
        if readable != text:
            self.changed["JSON texts that could not be kept to the letter"] += 1
        return readable

    def _optional_json(self, value: object) -> str | None:
        return None if value is None else self.json(value, "null")

    def _at_least(self, lowest: int, value: object, what: str) -> int:
        number = integer(value, lowest)
        if number >= lowest:
            return number
        self.changed[f"{what}, now {lowest}"] += 1
        return lowest


def idempotency_route(method: object, path: object) -> tuple[str, tuple[str, ...]] | None:
    """Return who may repeat this write here, ``api`` or ``run``, and the decoded path.

    None where the answer would not mean the same here. For a run its live lease counts.
    """
    raw = plain(path).encode(errors="surrogatepass")
    segments = tuple(
        unquote_to_bytes(each).decode(errors="replace") for each in raw.split(b"/") if each
    )
    for kind, routes in (("api", _API_ROUTES), ("run", _RUN_ROUTES)):
        if any(method == verb and _fits(segments, pattern) for verb, pattern in routes):
            return kind, segments
    return None


def _fits(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(segments) == len(pattern) and all(
        wanted in ("*", segment) for segment, wanted in zip(segments, pattern, strict=True)
    )
