-- Imports: rows of another tracker's database, each beside what is here and never over it.
--
-- Invariants
--   a task is imported whole or not at all: its runs, events, gates, edges and assignments
--   come in with it (their parent's seq is above what was there before) and never later.
--   whatever refers to a row that is not here is left out.

-- name: highest :one
-- uses: primary key
-- Where the tables stand before an import; what it adds lies above.
SELECT (SELECT COALESCE(MAX(seq), 0) FROM tasks) AS task_seq,
       (SELECT COALESCE(MAX(seq), 0) FROM runs) AS run_seq,
       (SELECT COALESCE(MAX(seq), 0) FROM task_dependencies) AS dependency_seq,
       (SELECT COALESCE(MAX(seq), 0) FROM task_assignments) AS assignment_seq,
       (SELECT COALESCE(MAX(id), 0) FROM events) AS event_id,
       (SELECT COALESCE(MAX(id), 0) FROM gate_results) AS gate_id,
       (SELECT COALESCE(MAX(id), 0) FROM otlp_batches) AS batch_id,
       (SELECT COALESCE(MAX(id), 0) FROM otlp_spans) AS span_id;

-- name: add_task :run
-- uses: sqlite_autoindex_pipelines_1, primary key
INSERT INTO tasks (id, pipeline_id, stage, title, description, priority, metadata_json,
                   task_version, next_eligible_at_ms, max_attempts, retry_delay_ms,
                   dead_letter_stage, dead_letter_reason, run_id, workflow_state_json,
                   created_at_ms, updated_at_ms, claim_role, is_terminal, is_dead, is_delayed)
SELECT :id, p.id, :stage, :title, :description, :priority, :metadata_json,
       :task_version, :next_eligible_at_ms, :max_attempts, :retry_delay_ms,
       :dead_letter_stage, :dead_letter_reason, :run_id, :workflow_state_json,
       :created_at_ms, :updated_at_ms, s.agent_role, COALESCE(s.is_terminal, 0),
       :is_dead, :is_delayed
  FROM pipelines AS p
  LEFT JOIN pipeline_stages AS s ON s.pipeline_id = p.id AND s.stage = :stage
 WHERE p.id = :pipeline_id
    ON CONFLICT (id) DO NOTHING;

-- name: add_run :run
-- uses: sqlite_autoindex_tasks_1
INSERT INTO runs (id, task_id, attempt, status, agent_id, agent_role, started_at_ms,
                  ended_at_ms, usage_json, error_text)
SELECT :id, t.id, :attempt, :status, :agent_id, :agent_role, :started_at_ms,
       :ended_at_ms, :usage_json, :error_text
  FROM tasks AS t
 WHERE t.id = :task_id
   AND t.seq > :after_task_seq
   AND CAST(:attempt AS BIGINT) >= 1
    ON CONFLICT DO NOTHING;

-- name: resume_run :run
-- uses: sqlite_autoindex_runs_1, idx_runs_one_running, sqlite_autoindex_tasks_1
-- A run that was running goes on under its lease: one for each task, in a known stage.
UPDATE runs
   SET status = 'running'
 WHERE id = :run_id
   AND seq > :after_run_seq
   AND status = 'stale'
   AND ended_at_ms IS NULL
   AND EXISTS (SELECT 1
                 FROM tasks AS t
                 JOIN pipeline_stages AS s ON s.pipeline_id = t.pipeline_id
                                          AND s.stage = t.stage
                WHERE t.id = runs.task_id)
   AND NOT EXISTS (SELECT 1
                     FROM runs AS other
                    WHERE other.task_id = runs.task_id
                      AND other.status = 'running');

-- name: new_run :one
-- uses: sqlite_autoindex_runs_1
SELECT id, task_id, status, agent_role, started_at_ms
  FROM runs
 WHERE id = :run_id
   AND seq > :after_run_seq;

-- name: add_lease :run
-- uses: primary key
INSERT INTO leases (run_id, id, task_id, agent_id, agent_role, token_hash, ttl_ms,
                    granted_at_ms, expires_at_ms, last_heartbeat_ms, status)
VALUES (:run_id, :id, :task_id, :agent_id, :agent_role, :token_hash, :ttl_ms,
        :granted_at_ms, :expires_at_ms, :last_heartbeat_ms, :status)
    ON CONFLICT DO NOTHING;

-- name: end_unheld_runs :run
-- uses: primary key
-- Runs that were running and could not go on.
UPDATE runs
   SET ended_at_ms = :now_ms
 WHERE seq > :after_run_seq
   AND status = 'stale'
   AND ended_at_ms IS NULL;

-- name: add_event :run
-- uses: sqlite_autoindex_runs_1
INSERT INTO events (id, run_id, ts_ms, kind, origin, data_json)
SELECT :id, r.id, :ts_ms, :kind, 'agent', :data_json
  FROM runs AS r
 WHERE r.id = :run_id
   AND r.seq > :after_run_seq;

-- name: mark_system_events :run
-- uses: primary key, idx_events_run, sqlite_autoindex_runs_1
-- The service wrote the last event of a run that ended by transition or failure: from then on
-- nobody had a lease to write with. Events of these kinds before the last are an agent's.
UPDATE events
   SET origin = 'system'
 WHERE id > :after_id
   AND id <= :upto_id
   AND kind IN ('transition', 'retry_scheduled', 'dead_letter')
   AND id = (SELECT MAX(newest.id) FROM events AS newest WHERE newest.run_id = events.run_id)
   AND (SELECT r.status FROM runs AS r WHERE r.id = events.run_id)
       = CASE kind WHEN 'transition' THEN 'completed' ELSE 'failed' END;

-- name: dead_letter_events :many
-- uses: primary key, sqlite_autoindex_runs_1, sqlite_autoindex_tasks_1
-- What the service noted when it gave up a task that is still given up.
SELECT e.id, r.task_id, e.data_json
  FROM events AS e
  JOIN runs AS r ON r.id = e.run_id
  JOIN tasks AS t ON t.id = r.task_id
 WHERE e.id > :after_event_id
   AND e.kind = 'dead_letter'
   AND e.origin = 'system'
   AND t.dead_letter_reason IS NOT NULL
 ORDER BY e.id
 LIMIT :limit;

-- name: set_dead_letter_origin :run
-- uses: sqlite_autoindex_tasks_1
UPDATE tasks
   SET dead_letter_from_stage = :stage
 WHERE id = :task_id;

-- name: add_gate_result :run
-- uses: sqlite_autoindex_runs_1
INSERT INTO gate_results (id, run_id, task_id, gate, status, evidence_json, actor, ts_ms)
SELECT :id, r.id, r.task_id, :gate, :status, :evidence_json, :actor, :ts_ms
  FROM runs AS r
 WHERE r.id = :run_id
   AND r.seq > :after_run_seq;

-- name: add_artifact :run
-- uses: sqlite_autoindex_tasks_1, sqlite_autoindex_runs_1
INSERT INTO artifacts (id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes,
                       meta_json)
VALUES (:id,
        (SELECT t.id FROM tasks AS t WHERE t.id = :task_id),
        (SELECT r.id FROM runs AS r WHERE r.id = :run_id),
        :created_at_ms, :kind, :uri, :sha256_hex, :size_bytes, :meta_json)
    ON CONFLICT (id) DO NOTHING;

-- name: add_dependency :run
-- uses: sqlite_autoindex_tasks_1
INSERT INTO task_dependencies (task_id, depends_on_task_id, created_at_ms)
SELECT t.id, target.id, :created_at_ms
  FROM tasks AS t
  JOIN tasks AS target ON target.id = :depends_on_task_id
 WHERE t.id = :task_id
   AND t.seq > :after_task_seq
   AND target.seq <> t.seq
    ON CONFLICT DO NOTHING;

-- name: new_dependents :many
-- uses: primary key
SELECT seq, task_id
  FROM task_dependencies
 WHERE seq > :after_seq
 ORDER BY seq
 LIMIT :limit;

-- name: end_older_assignment :run
-- uses: idx_task_assignments_one_active
-- Of several active assignments of a task the newest counts.
UPDATE task_assignments
   SET active = 0
 WHERE task_id = :task_id
   AND active = 1
   AND seq > :after_assignment_seq
   AND updated_at_ms <= :updated_at_ms
   AND :active = 1;

-- name: add_assignment :run
-- uses: sqlite_autoindex_tasks_1, idx_task_assignments_one_active
INSERT INTO task_assignments (task_id, agent_id, assigned_by, active, created_at_ms,
                              updated_at_ms)
SELECT t.id, :agent_id, :assigned_by,
       CASE WHEN :active = 1 AND NOT EXISTS (SELECT 1
                                               FROM task_assignments AS a
                                              WHERE a.task_id = t.id
                                                AND a.active = 1)
            THEN 1 ELSE 0 END,
       :created_at_ms, :updated_at_ms
  FROM tasks AS t
 WHERE t.id = :task_id
   AND t.seq > :after_task_seq
    ON CONFLICT DO NOTHING;

-- name: set_assignees :run
-- uses: primary key, idx_task_assignments_one_active
UPDATE tasks
   SET claim_assignee = (SELECT a.agent_id
                           FROM task_assignments AS a
                          WHERE a.task_id = tasks.id
                            AND a.active = 1)
 WHERE seq > :after_seq
   AND seq <= :upto_seq
   AND EXISTS (SELECT 1
                 FROM task_assignments AS a
                WHERE a.task_id = tasks.id
                  AND a.active = 1);

-- name: count_attempts :run
-- uses: primary key, sqlite_autoindex_runs_2
-- A transition completes its run, so failures after the last completed one are those of the
-- present stage.
UPDATE tasks
   SET last_attempt = (SELECT MAX(r.attempt) FROM runs AS r WHERE r.task_id = tasks.id),
       failed_attempts = (SELECT COUNT(*)
                            FROM runs AS r
                           WHERE r.task_id = tasks.id
                             AND r.status = 'failed'
                             AND r.attempt > COALESCE((SELECT MAX(moved.attempt)
                                                         FROM runs AS moved
                                                        WHERE moved.task_id = tasks.id
                                                          AND moved.status = 'completed'), 0)),
       is_leased = (SELECT COUNT(*)
                      FROM runs AS r
                     WHERE r.task_id = tasks.id
                       AND r.status = 'running')
 WHERE seq > :after_seq
   AND seq <= :upto_seq
   AND EXISTS (SELECT 1 FROM runs AS r WHERE r.task_id = tasks.id);

-- name: count_open_dependencies :run
-- uses: primary key, sqlite_autoindex_task_dependencies_1
UPDATE tasks
   SET open_dependency_count = (SELECT COUNT(*)
                                  FROM task_dependencies AS d
                                  JOIN tasks AS target ON target.id = d.depends_on_task_id
                                 WHERE d.task_id = tasks.id
                                   AND NOT (target.is_terminal = 1
                                            AND target.dead_letter_reason IS NULL))
 WHERE seq > :after_seq
   AND seq <= :upto_seq
   AND EXISTS (SELECT 1 FROM task_dependencies AS d WHERE d.task_id = tasks.id);

-- name: add_unknown_stages :run
-- scans: t, as one walk over an index, once in a command that is no request
-- Lists go by the stages of a pipeline; a task in a stage that its pipeline does not have
-- would be in none of them.
INSERT INTO pipeline_stages (pipeline_id, stage, agent_role, is_terminal)
SELECT DISTINCT t.pipeline_id, t.stage, NULL, 0
  FROM tasks AS t
 WHERE t.seq > :after_task_seq
    ON CONFLICT (pipeline_id, stage) DO NOTHING;

-- name: claimable :many
-- uses: idx_tasks_claim
-- Who may find work in what an import added.
SELECT claim_role, claim_assignee, COUNT(*) AS task_count
  FROM tasks
 WHERE seq > :after_task_seq
   AND claim_role IS NOT NULL
   AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
 GROUP BY claim_role, claim_assignee;

-- name: add_entry :value
-- uses: primary key
INSERT INTO kv_entries (namespace, key, value_json, version, created_at_ms, updated_at_ms)
VALUES (:namespace, :key, :value_json, :version, :created_at_ms, :updated_at_ms)
RETURNING id;

-- name: add_batch :run
-- uses: primary key
INSERT INTO otlp_batches (id, received_at_ms, content_type, payload_json, payload_blob,
                          parsed_spans)
VALUES (:id, :received_at_ms, :content_type, :payload_json, :payload_blob, :parsed_spans);

-- name: add_span :run
-- uses: primary key
INSERT INTO otlp_spans (id, batch_id, trace_id, span_id, parent_span_id, name, kind,
                        start_time_unix_nano, end_time_unix_nano, status_code, status_message,
                        attributes_json, resource_attributes_json, scope_name, scope_version,
                        run_id, task_id, raw_json)
SELECT :id, b.id, :trace_id, :span_id, :parent_span_id, :name, :kind,
       :start_time_unix_nano, :end_time_unix_nano, :status_code, :status_message,
       :attributes_json, :resource_attributes_json, :scope_name, :scope_version,
       :run_id, :task_id, :raw_json
  FROM otlp_batches AS b
 WHERE b.id = :batch_id;

-- name: add_idempotency_key :run
-- uses: primary key
INSERT INTO idempotency_keys (principal, key, method, route, request_hash, response_status,
                              response_json, created_at_ms)
VALUES (:principal, :key, :method, :route, :request_hash, :response_status,
        :response_json, :created_at_ms)
    ON CONFLICT (principal, key, method, route) DO NOTHING;
