-- Artifacts: what tasks and runs brought forth, by reference.
--
-- Invariants
--   where both task_id and run_id are set, the run is one of the task's.

-- name: create :one
-- uses: primary key
INSERT INTO artifacts (id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes,
                       meta_json)
VALUES (:id, :task_id, :run_id, :now_ms, :kind, :uri, :sha256_hex, :size_bytes, :meta_json)
RETURNING seq;

-- name: seq_of :value
-- uses: sqlite_autoindex_artifacts_1
SELECT seq
  FROM artifacts
 WHERE id = :artifact_id;

-- name: page :many
-- uses: idx_artifacts_created
SELECT id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes, meta_json
  FROM artifacts
 WHERE (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: page_by_task :many
-- uses: idx_artifacts_task_created
SELECT id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes, meta_json
  FROM artifacts
 WHERE task_id = :task_id
   AND (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: page_by_run :many
-- uses: idx_artifacts_run_created
SELECT id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes, meta_json
  FROM artifacts
 WHERE run_id = :run_id
   AND (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: page_by_task_run :many
-- uses: idx_artifacts_run_created
-- A run has few artifacts; the task is looked at row by row.
SELECT id, task_id, run_id, created_at_ms, kind, uri, sha256_hex, size_bytes, meta_json
  FROM artifacts
 WHERE run_id = :run_id
   AND task_id = :task_id
   AND (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;
