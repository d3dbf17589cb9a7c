-- Changes: one durable feed of every fact, written in the transaction of the fact.
--
-- Invariants
--   ids ascend, no change appears behind a cursor that was handed out, and none is used again.
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
   AND id <= :upto_id
 ORDER BY id
 LIMIT :limit;

-- name: page_by_kind :many
-- uses: idx_changes_kind
SELECT id, ts_ms, kind, task_id, run_id, data_json
  FROM changes
 WHERE kind = :kind
   AND id > :after_id
   AND id <= :upto_id
 ORDER BY id
 LIMIT :limit;

-- name: extent :one
-- uses: primary key
-- The newest change there ever was, and the one up to which nothing can be missing. Asked for in
-- a view of its own, before the one in which changes are read.
SELECT COALESCE(MAX(id), 0) AS newest_id, COALESCE(MAX(id), 0) AS upto_id
  FROM changes;

-- name: newest_upto :value
-- uses: primary key
-- The newest change that is there, which is where a cursor may stand. An id that was drawn for
-- nothing may be drawn again after a crash, or by a standby that never heard of it.
SELECT COALESCE(MAX(id), 0) AS id
  FROM changes
 WHERE id <= :upto_id;

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
