"""Databases as nullTickets of either era leaves them behind, with rows of every kind."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.factories import EPOCH_MS, NEVER_MS, REVIEW, SIMPLE

BOTH_ERAS = """
CREATE TABLE pipelines (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    definition_json TEXT NOT NULL, created_at_ms INTEGER NOT NULL);
CREATE TABLE runs (id TEXT PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks (id),
    attempt INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'running', agent_id TEXT,
    agent_role TEXT, started_at_ms INTEGER, ended_at_ms INTEGER,
    usage_json TEXT NOT NULL DEFAULT '{}', error_text TEXT, UNIQUE (task_id, attempt));
CREATE TABLE leases (id TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs (id),
    agent_id TEXT NOT NULL, token_hash BLOB NOT NULL, expires_at_ms INTEGER NOT NULL,
    last_heartbeat_ms INTEGER NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id), ts_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    data_json TEXT NOT NULL);
CREATE TABLE artifacts (id TEXT PRIMARY KEY, task_id TEXT REFERENCES tasks (id),
    run_id TEXT REFERENCES runs (id), created_at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    uri TEXT NOT NULL, sha256_hex TEXT, size_bytes INTEGER,
    meta_json TEXT NOT NULL DEFAULT '{}');
CREATE TABLE task_dependencies (
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    depends_on_task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL, PRIMARY KEY (task_id, depends_on_task_id));
CREATE TABLE task_assignments (
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE, agent_id TEXT NOT NULL,
    assigned_by TEXT, active INTEGER NOT NULL DEFAULT 1, created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL, PRIMARY KEY (task_id, agent_id));
CREATE TABLE idempotency_keys (key TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    request_hash BLOB NOT NULL, response_status INTEGER NOT NULL,
    response_body TEXT NOT NULL, created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (key, method, path));
CREATE TABLE otlp_batches (id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at_ms INTEGER NOT NULL, content_type TEXT NOT NULL, payload_json TEXT,
    payload_blob BLOB, parsed_spans INTEGER NOT NULL DEFAULT 0);
CREATE TABLE otlp_spans (id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id INTEGER NOT NULL REFERENCES otlp_batches (id), trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL, parent_span_id TEXT, name TEXT NOT NULL, kind TEXT,
    start_time_unix_nano INTEGER, end_time_unix_nano INTEGER, status_code TEXT,
    status_message TEXT, attributes_json TEXT NOT NULL,
    resource_attributes_json TEXT NOT NULL, scope_name TEXT, scope_version TEXT,
    run_id TEXT, task_id TEXT, raw_json TEXT NOT NULL);
"""

TASKS = """
CREATE TABLE tasks (id TEXT PRIMARY KEY, pipeline_id TEXT NOT NULL REFERENCES pipelines (id),
    stage TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, metadata_json TEXT NOT NULL DEFAULT '{}',
    task_version INTEGER NOT NULL DEFAULT 1, next_eligible_at_ms INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER, retry_delay_ms INTEGER NOT NULL DEFAULT 0, dead_letter_stage TEXT,
    dead_letter_reason TEXT{more}, created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL);
"""

GATES_ERA = """
CREATE TABLE gate_results (id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE, gate TEXT NOT NULL,
    status TEXT NOT NULL, evidence_json TEXT NOT NULL DEFAULT '{}', actor TEXT,
    ts_ms INTEGER NOT NULL);
"""

STORE_ERA = """
CREATE TABLE pipeline_stage_roles (
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    stage TEXT NOT NULL, agent_role TEXT NOT NULL, PRIMARY KEY (pipeline_id, stage));
CREATE TABLE store (namespace TEXT NOT NULL, key TEXT NOT NULL, value_json TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (namespace, key));
CREATE VIRTUAL TABLE store_fts USING fts5 (namespace, key, content, content = 'store');
"""

TOKEN = "ab" * 32
OTHER_TOKEN = "cd" * 32
NEW_TASK_BODY = '{"pipeline_id":"p1", "title":"T","description":"D"}'


def token_hash(token: str) -> bytes:
    """Return what is stored of a lease token."""
    return hashlib.sha256(bytes.fromhex(token)).digest()


class OldDatabase:
    """A file under construction; every row goes in by plain SQL."""

    def __init__(self, path: Path, *, era: str) -> None:
        self.path = path
        more = ", run_id TEXT, workflow_state_json TEXT" if era == "store" else ""
        self.script(TASKS.replace("{more}", more) + BOTH_ERAS)
        self.script(STORE_ERA if era == "store" else GATES_ERA)

    def script(self, sql: str) -> None:
        """Run any SQL."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(sql)

    def add(self, table: str, **columns: Any) -> None:
        """Insert a row."""
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(columns.values())
            )

    def pipeline(self, id_: str, definition: Any, *, name: str | None = None) -> None:
        """Insert a pipeline."""
        text = definition if isinstance(definition, str | bytes) else json.dumps(definition)
        self.add(
            "pipelines",
            id=id_,
            name=name or f"name of {id_}",
            definition_json=text,
            created_at_ms=EPOCH_MS - 1000,
        )

    def task(self, id_: str, pipeline_id: str = "p1", stage: str = "todo", **more: Any) -> None:
        """Insert a task."""
        columns = {
            "id": id_,
            "pipeline_id": pipeline_id,
            "stage": stage,
            "title": f"Title of {id_}",
            "description": "Description",
            "created_at_ms": EPOCH_MS - 900,
            "updated_at_ms": EPOCH_MS - 800,
        }
        self.add("tasks", **(columns | more))

    def run(self, id_: str, task_id: str, attempt: int, status: str, **more: Any) -> None:
        """Insert a run."""
        columns = {
            "id": id_,
            "task_id": task_id,
            "attempt": attempt,
            "status": status,
            "agent_id": "a1",
            "agent_role": "coder",
            "started_at_ms": EPOCH_MS - 700,
            "ended_at_ms": None if status == "running" else EPOCH_MS - 600,
        }
        self.add("runs", **(columns | more))

    def lease(self, id_: str, run_id: str, token: str = TOKEN, **more: Any) -> None:
        """Insert a lease of five minutes."""
        columns = {
            "id": id_,
            "run_id": run_id,
            "agent_id": "a1",
            "token_hash": token_hash(token),
            "expires_at_ms": EPOCH_MS - 700 + 300_000,
            "last_heartbeat_ms": EPOCH_MS - 700,
        }
        self.add("leases", **(columns | more))

    def event(self, id_: int, run_id: str, kind: str, data: Any = None) -> None:
        """Insert an event."""
        text = data if isinstance(data, str) else json.dumps(data or {})
        self.add(
            "events", id=id_, run_id=run_id, ts_ms=EPOCH_MS - 650, kind=kind, data_json=text
        )

    def edge(self, task_id: str, depends_on_task_id: str) -> None:
        """Insert a dependency."""
        self.add(
            "task_dependencies",
            task_id=task_id,
            depends_on_task_id=depends_on_task_id,
            created_at_ms=EPOCH_MS - 500,
        )

    def assignment(self, task_id: str, agent_id: str, **more: Any) -> None:
        """Insert an assignment."""
        columns = {
            "task_id": task_id,
            "agent_id": agent_id,
            "assigned_by": "boss",
            "active": 1,
            "created_at_ms": EPOCH_MS - 500,
            "updated_at_ms": EPOCH_MS - 500,
        }
        self.add("task_assignments", **(columns | more))

    def batch(self, id_: int, *, spans: int = 0) -> None:
        """Insert an OTLP batch and its spans."""
        self.add(
            "otlp_batches",
            id=id_,
            received_at_ms=EPOCH_MS - 400,
            content_type="application/json",
            payload_json='{"resourceSpans":[]}',
            parsed_spans=spans,
        )
        for number in range(spans):
            self.add(
                "otlp_spans",
                batch_id=id_,
                trace_id=f"trace {id_}",
                span_id=f"span {number}",
                name="work",
                kind="2",
                start_time_unix_nano=1,
                end_time_unix_nano=2,
                attributes_json="[]",
                resource_attributes_json="[]",
                run_id="r-live",
                task_id="t-live",
                raw_json='{"name":"work"}',
            )

    def key(
        self, key: str, method: str, path: str, body: str, answer: str, **more: Any
    ) -> None:
        """Insert an idempotency key."""
        columns = {
            "key": key,
            "method": method,
            "path": path,
            "request_hash": hashlib.sha256(body.encode()).digest(),
            "response_status": 201,
            "response_body": answer,
            "created_at_ms": EPOCH_MS - 300,
        }
        self.add("idempotency_keys", **(columns | more))

    def digest(self) -> str:
        """Return a hash of the file's bytes."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def filled(path: Path, *, era: str) -> OldDatabase:
    """Return a database with rows of every kind, all of them ordinary."""
    old = OldDatabase(path, era=era)
    old.pipeline("p1", SIMPLE)
    old.pipeline("p2", {**REVIEW, "x-kept": [1, {"a": None}]})
    old.task("t-new", priority=7, metadata_json='{"n":1.50,"big":12345678901234567890}')
    old.task("t-live", created_at_ms=EPOCH_MS - 950)
    old.run("r-live", "t-live", 1, "running")
    old.lease("l-live", "r-live")
    old.event(3, "r-live", "step", {"n": 1})
    old.task("t-review", "p2", "review", task_version=2, max_attempts=3, retry_delay_ms=50)
    old.run("r1", "t-review", 1, "failed", error_text="broken", usage_json='{"tokens":5}')
    old.event(5, "r1", "dead_letter", {"lie": True})
    old.event(6, "r1", "retry_scheduled", {"failed_attempts": 1})
    old.run("r2", "t-review", 2, "completed")
    old.event(7, "r2", "transition", {"trigger": "submit", "from": "coding", "to": "review"})
    old.run("r3", "t-review", 3, "failed", agent_role="reviewer")
    old.event(8, "r3", "retry_scheduled", {"failed_attempts": 2})
    old.task("t-done", stage="done", task_version=2)
    old.task("t-later", next_eligible_at_ms=EPOCH_MS + 5000)
    old.task("t-waits")
    old.edge("t-waits", "t-done")
    old.edge("t-waits", "t-new")
    old.task(
        "t-dead",
        stage="done",
        dead_letter_reason="max_attempts_exceeded",
        next_eligible_at_ms=NEVER_MS,
        dead_letter_stage="done",
        max_attempts=1,
        task_version=2,
    )
    old.run("r-dead", "t-dead", 1, "failed", error_text="hopeless")
    old.event(
        9,
        "r-dead",
        "dead_letter",
        {"failed_attempts": 1, "from_stage": "todo", "dead_letter_stage": "done"},
    )
    old.task("t-assigned")
    old.assignment("t-assigned", "a1", active=0)
    old.assignment("t-assigned", "a2", updated_at_ms=EPOCH_MS - 450)
    old.add(
        "artifacts",
        id="art1",
        task_id="t-review",
        run_id="r2",
        created_at_ms=EPOCH_MS - 400,
        kind="diff",
        uri="file:///d",
        sha256_hex="00",
        size_bytes=-1,
        meta_json='{"a":1}',
    )
    old.add("artifacts", id="art2", created_at_ms=EPOCH_MS - 300, kind="log", uri="")
    old.batch(4, spans=2)
    old.key("k1", "POST", "/tasks/", NEW_TASK_BODY, '{"id":"t-new"}')
    old.key("k2", "POST", "/leases/claim", "{}", f'{{"lease_token":"{TOKEN}"}}')
    old.key("k3", "POST", "/runs/r-live/events", '{"kind":"step"}', '{"id":3}')
    old.key("k4", "POST", "/tasks", "{}", '{"error":{}}', response_status=400)
    old.key("k5", "POST", "/tasks", "{}", '{"id":"x"}', created_at_ms=1)
    if era == "gates":
        for id_, status in ((2, "fail"), (5, "pass")):
            old.add(
                "gate_results",
                id=id_,
                run_id="r2",
                task_id="t-review",
                gate="tests",
                status=status,
                evidence_json='{"n":1}',
                actor="ci",
                ts_ms=EPOCH_MS - 640,
            )
    else:
        old.task("t-flow", run_id="wf-1", workflow_state_json='{"at":"node"}')
        for key, value in (("greeting", '{"text":"hello world"}'), ("n", "null")):
            old.add(
                "store",
                namespace="notes",
                key=key,
                value_json=value,
                created_at_ms=EPOCH_MS - 99,
                updated_at_ms=EPOCH_MS - 98,
            )
    return old
