-- The tracker's first schema. Times are Unix milliseconds, flags are 0 or 1.

CREATE TABLE pipelines (
    seq             INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    name            TEXT    NOT NULL UNIQUE,
    definition_json TEXT    NOT NULL,
    created_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_pipelines_created ON pipelines (created_at_ms, seq);

-- Derived from definition_json when the pipeline is created; pipelines never change.
CREATE TABLE pipeline_stages (
    pipeline_id TEXT    NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    stage       TEXT    NOT NULL,
    agent_role  TEXT,
    is_terminal INTEGER NOT NULL CHECK (is_terminal IN (0, 1)),
    PRIMARY KEY (pipeline_id, stage)
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_pipeline_stages_stage ON pipeline_stages (stage);
CREATE INDEX idx_pipeline_stages_role ON pipeline_stages (agent_role, stage);

CREATE TABLE tasks (
    seq                    INTEGER PRIMARY KEY,
    id                     TEXT    NOT NULL UNIQUE,
    pipeline_id            TEXT    NOT NULL REFERENCES pipelines (id),
    stage                  TEXT    NOT NULL,
    title                  TEXT    NOT NULL,
    description            TEXT    NOT NULL,
    priority               INTEGER NOT NULL DEFAULT 0,
    metadata_json          TEXT    NOT NULL DEFAULT '{}',
    task_version           INTEGER NOT NULL DEFAULT 1,
    next_eligible_at_ms    INTEGER NOT NULL DEFAULT 0,
    max_attempts           INTEGER CHECK (max_attempts >= 1),
    retry_delay_ms         INTEGER NOT NULL DEFAULT 0 CHECK (retry_delay_ms >= 0),
    retry_backoff_json     TEXT,
    dead_letter_stage      TEXT,
    dead_letter_reason     TEXT,
    dead_letter_from_stage TEXT,
    failed_attempts        INTEGER NOT NULL DEFAULT 0,
    last_attempt           INTEGER NOT NULL DEFAULT 0,
    run_id                 TEXT,
    workflow_state_json    TEXT,
    created_at_ms          INTEGER NOT NULL,
    updated_at_ms          INTEGER NOT NULL,
    -- What a claim asks, kept by the operations that change it.
    claim_role             TEXT,
    claim_assignee         TEXT,
    is_terminal            INTEGER NOT NULL DEFAULT 0 CHECK (is_terminal IN (0, 1)),
    is_dead                INTEGER NOT NULL DEFAULT 0 CHECK (is_dead IN (0, 1)),
    is_delayed             INTEGER NOT NULL DEFAULT 0 CHECK (is_delayed IN (0, 1)),
    is_leased              INTEGER NOT NULL DEFAULT 0 CHECK (is_leased IN (0, 1)),
    open_dependency_count  INTEGER NOT NULL DEFAULT 0 CHECK (open_dependency_count >= 0)
) STRICT;

-- In the order of the claim, holding claimable tasks only: a claim reads its first entry.
CREATE INDEX idx_tasks_claim
    ON tasks (claim_role, claim_assignee, priority DESC, created_at_ms, seq, stage)
 WHERE is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
   AND claim_role IS NOT NULL;

CREATE INDEX idx_tasks_delayed ON tasks (next_eligible_at_ms) WHERE is_delayed = 1 AND is_dead = 0;
CREATE INDEX idx_tasks_delayed_role
    ON tasks (claim_role, claim_assignee, next_eligible_at_ms) WHERE is_delayed = 1 AND is_dead = 0;
CREATE INDEX idx_tasks_dead_lettered
    ON tasks (created_at_ms, seq) WHERE dead_letter_reason IS NOT NULL;
CREATE INDEX idx_tasks_created ON tasks (created_at_ms, seq);
CREATE INDEX idx_tasks_pipeline_stage_created ON tasks (pipeline_id, stage, created_at_ms, seq);

-- How many tasks there are in stages of each name, so that no one has to count them. One writer
-- at a time makes this cheap here.
CREATE TABLE stage_counts (
    stage      TEXT    NOT NULL PRIMARY KEY,
    task_count INTEGER NOT NULL CHECK (task_count >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER trg_tasks_count_insert AFTER INSERT ON tasks
BEGIN
    INSERT INTO stage_counts (stage, task_count) VALUES (NEW.stage, 1)
        ON CONFLICT (stage) DO UPDATE SET task_count = task_count + 1;
END;

CREATE TRIGGER trg_tasks_count_delete AFTER DELETE ON tasks
BEGIN
    UPDATE stage_counts SET task_count = task_count - 1 WHERE stage = OLD.stage;
END;

CREATE TRIGGER trg_tasks_count_move AFTER UPDATE OF stage ON tasks WHEN OLD.stage <> NEW.stage
BEGIN
    UPDATE stage_counts SET task_count = task_count - 1 WHERE stage = OLD.stage;
    INSERT INTO stage_counts (stage, task_count) VALUES (NEW.stage, 1)
        ON CONFLICT (stage) DO UPDATE SET task_count = task_count + 1;
END;

CREATE TABLE runs (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    attempt       INTEGER NOT NULL CHECK (attempt >= 1),
    status        TEXT    NOT NULL
        CHECK (status IN ('running', 'completed', 'failed', 'stale', 'released', 'cancelled')),
    agent_id      TEXT,
    agent_role    TEXT,
    started_at_ms INTEGER,
    ended_at_ms   INTEGER,
    usage_json    TEXT    NOT NULL DEFAULT '{}',
    error_text    TEXT,
    UNIQUE (task_id, attempt)
) STRICT;

-- This index, not care, is what makes a double claim impossible.
CREATE UNIQUE INDEX idx_runs_one_running ON runs (task_id) WHERE status = 'running';

CREATE TABLE leases (
    run_id            TEXT    NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    id                TEXT    NOT NULL UNIQUE,
    -- That of the run, whose end is this row's end: a second reference would want an index.
    task_id           TEXT    NOT NULL,
    agent_id          TEXT    NOT NULL,
    agent_role        TEXT    NOT NULL,
    token_hash        BLOB    NOT NULL CHECK (length(token_hash) = 32),
    ttl_ms            INTEGER NOT NULL CHECK (ttl_ms >= 1),
    granted_at_ms     INTEGER NOT NULL,
    expires_at_ms     INTEGER NOT NULL,
    last_heartbeat_ms INTEGER,
    status            TEXT    NOT NULL CHECK (status IN ('active', 'expired', 'revoked'))
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_leases_active ON leases (expires_at_ms) WHERE status = 'active';

CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id    TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    ts_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    origin    TEXT    NOT NULL CHECK (origin IN ('agent', 'system')),
    data_json TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_events_run ON events (run_id, id);

CREATE TABLE gate_results (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id        TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    gate          TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('pass', 'fail')),
    evidence_json TEXT    NOT NULL DEFAULT '{}',
    actor         TEXT,
    ts_ms         INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_gate_results_run ON gate_results (run_id, id);
CREATE INDEX idx_gate_results_task ON gate_results (task_id);

CREATE TABLE artifacts (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    task_id       TEXT    REFERENCES tasks (id) ON DELETE CASCADE,
    run_id        TEXT    REFERENCES runs (id) ON DELETE CASCADE,
    created_at_ms INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    uri           TEXT    NOT NULL,
    sha256_hex    TEXT,
    size_bytes    INTEGER,
    meta_json     TEXT    NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX idx_artifacts_created ON artifacts (created_at_ms, seq);
CREATE INDEX idx_artifacts_task_created ON artifacts (task_id, created_at_ms, seq);
CREATE INDEX idx_artifacts_run_created ON artifacts (run_id, created_at_ms, seq);

CREATE TABLE task_dependencies (
    seq                INTEGER PRIMARY KEY,
    task_id            TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    depends_on_task_id TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    created_at_ms      INTEGER NOT NULL,
    UNIQUE (task_id, depends_on_task_id),
    CHECK (task_id <> depends_on_task_id)
) STRICT;

CREATE INDEX idx_task_dependencies_target ON task_dependencies (depends_on_task_id);

CREATE TABLE task_assignments (
    seq           INTEGER PRIMARY KEY,
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    agent_id      TEXT    NOT NULL,
    assigned_by   TEXT,
    active        INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    UNIQUE (task_id, agent_id)
) STRICT;

CREATE UNIQUE INDEX idx_task_assignments_one_active ON task_assignments (task_id) WHERE active = 1;

-- One row for each fact, written in the transaction of the fact; ids ascend in commit order.
CREATE TABLE changes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    ts_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    task_id   TEXT,
    run_id    TEXT,
    data_json TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_changes_kind ON changes (kind, id);

-- Single facts about the database itself, such as how far the change feed was pruned.
CREATE TABLE marks (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE kv_entries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace     TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    value_json    TEXT    NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    UNIQUE (namespace, key)
) STRICT;

-- Its own copy of the searchable text, under the id of the entry: nothing depends on rowids
-- that VACUUM may move, and a rebuild reads kv_entries only.
CREATE VIRTUAL TABLE kv_search USING fts5 (
    namespace, key, content, tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE otlp_batches (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at_ms INTEGER NOT NULL,
    content_type   TEXT    NOT NULL,
    payload_json   TEXT,
    payload_blob   BLOB,
    parsed_spans   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX idx_otlp_batches_received ON otlp_batches (received_at_ms);

CREATE TABLE otlp_spans (
    id                       INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id                 INTEGER NOT NULL REFERENCES otlp_batches (id) ON DELETE CASCADE,
    trace_id                 TEXT    NOT NULL,
    span_id                  TEXT    NOT NULL,
    parent_span_id           TEXT,
    name                     TEXT    NOT NULL,
    kind                     TEXT,
    start_time_unix_nano     INTEGER,
    end_time_unix_nano       INTEGER,
    status_code              TEXT,
    status_message           TEXT,
    attributes_json          TEXT    NOT NULL,
    resource_attributes_json TEXT    NOT NULL,
    scope_name               TEXT,
    scope_version            TEXT,
    run_id                   TEXT,
    task_id                  TEXT,
    raw_json                 TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_otlp_spans_batch ON otlp_spans (batch_id);
CREATE INDEX idx_otlp_spans_trace ON otlp_spans (trace_id, id);
CREATE INDEX idx_otlp_spans_run ON otlp_spans (run_id, id);
CREATE INDEX idx_otlp_spans_task ON otlp_spans (task_id, id);

-- A task with very many dependents frees them in steps; this is where it stands.
CREATE TABLE dependency_releases (
    task_id   TEXT    NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    after_seq INTEGER NOT NULL,
    upto_seq  INTEGER NOT NULL
) STRICT;
