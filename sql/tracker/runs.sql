-- Runs: one attempt at a task each.
--
-- Invariants
--   attempts of a task are 1, 2, 3 … without gaps.
--   at most one run of a task is running (idx_runs_one_running).
--   ended_at_ms is set exactly when the status is no longer running.

-- name: start :run
-- uses: primary key
INSERT INTO runs (id, task_id, attempt, status, agent_id, agent_role, started_at_ms)
VALUES (:id, :task_id, :attempt, 'running', :agent_id, :agent_role, :now_ms);

-- name: get :one
-- uses: sqlite_autoindex_runs_1
-- A run whose lease is over reads as stale, also before a sweep has written that.
SELECT r.id, r.task_id, r.attempt, r.agent_id, r.agent_role, r.started_at_ms, r.usage_json,
       r.error_text,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN 'stale'
            ELSE r.status END AS status,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN l.expires_at_ms
            ELSE r.ended_at_ms END AS ended_at_ms
  FROM runs AS r
  LEFT JOIN leases AS l ON l.run_id = r.id
 WHERE r.id = :run_id;

-- name: page_of_task :many
-- uses: sqlite_autoindex_runs_2
SELECT r.id, r.task_id, r.attempt, r.agent_id, r.agent_role, r.started_at_ms, r.usage_json,
       r.error_text,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN 'stale'
            ELSE r.status END AS status,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN l.expires_at_ms
            ELSE r.ended_at_ms END AS ended_at_ms
  FROM runs AS r
  LEFT JOIN leases AS l ON l.run_id = r.id
 WHERE r.task_id = :task_id
   AND r.attempt > :after_attempt
 ORDER BY r.attempt
 LIMIT :limit;

-- name: latest :one
-- uses: sqlite_autoindex_runs_2
SELECT r.id, r.task_id, r.attempt, r.agent_id, r.agent_role, r.started_at_ms, r.usage_json,
       r.error_text,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN 'stale'
            ELSE r.status END AS status,
       CASE WHEN r.status = 'running' AND l.expires_at_ms <= :now_ms THEN l.expires_at_ms
            ELSE r.ended_at_ms END AS ended_at_ms
  FROM runs AS r
  LEFT JOIN leases AS l ON l.run_id = r.id
 WHERE r.task_id = :task_id
 ORDER BY r.attempt DESC
 LIMIT 1;

-- name: task_of :value
-- uses: sqlite_autoindex_runs_1
SELECT task_id
  FROM runs
 WHERE id = :run_id;

-- name: end :one
-- uses: sqlite_autoindex_runs_1
-- No row means that the run had ended before. A clock that was set back ends no run before it
-- began.
UPDATE runs
   SET status = :status,
       ended_at_ms = CASE WHEN :ended_at_ms < started_at_ms THEN started_at_ms
                          ELSE :ended_at_ms END,
       usage_json = :usage_json,
       error_text = :error_text
 WHERE id = :run_id
   AND status = 'running'
RETURNING task_id, attempt;
