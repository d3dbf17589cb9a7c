-- Changes: one durable feed of every fact, written in the transaction of the fact.
--
-- Invariants
--   ids ascend in commit order and are never used again.
--   the mark changes_pruned_to is the highest id that was ever pruned.

-- name: append :run
-- uses: primary key
INSERT INTO changes (ts_ms, kind, task_id, run_id, data_json)
VALUES (:now_ms, :kind, :task_id, :run_id, :data_json);

-- name: page :many
-- uses: primary key
SELECT id, ts_ms, kind, task_id, run_id, data_json
  FROM changes
 WHERE id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_by_kind :many
-- uses: idx_changes_kind
SELECT id, ts_ms, kind, task_id, run_id, data_json
  FROM changes
 WHERE kind = :kind
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: newest_id :value
-- uses: primary key
SELECT COALESCE(MAX(id), 0)
  FROM changes;

-- name: oldest :many
-- scans: changes, from the old end and no further than :limit rows
SELECT id, ts_ms
  FROM changes
 ORDER BY id
 LIMIT :limit;

-- name: prune :run
-- uses: primary key
DELETE FROM changes
 WHERE id <= :upto_id;
