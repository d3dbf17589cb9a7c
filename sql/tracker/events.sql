-- Events: the append-only history of a run.
--
-- Invariants
--   origin is 'system' exactly for what the service wrote; only an imported event of an agent
--   can have a kind that the service writes.
--   a stage change has exactly one event.

-- name: append :value
-- uses: primary key
INSERT INTO events (run_id, ts_ms, kind, origin, data_json)
VALUES (:run_id, :now_ms, :kind, :origin, :data_json)
RETURNING id;

-- name: page_of_run :many
-- uses: idx_events_run
SELECT id, run_id, ts_ms, kind, data_json
  FROM events
 WHERE run_id = :run_id
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_of_task :many
-- uses: idx_events_run, sqlite_autoindex_runs_2
-- The events of all runs of a task; a task has few runs, each read from its own range.
SELECT e.id, e.run_id, e.ts_ms, e.kind, e.data_json
  FROM runs AS r
  JOIN events AS e ON e.run_id = r.id
 WHERE r.task_id = :task_id
   AND e.id > :after_id
 ORDER BY e.id
 LIMIT :limit;
