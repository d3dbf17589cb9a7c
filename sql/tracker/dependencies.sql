-- Dependencies: edges from a task to the tasks it waits for.
--
-- Invariants
--   no edge closes a cycle.
--   an edge counts in the open_dependency_count of its task while the other task is not
--   resolved (terminal stage, no dead letter), or while its release is still under way.

-- name: add :value
-- uses: sqlite_autoindex_task_dependencies_1
-- No row means that the edge exists.
INSERT INTO task_dependencies (task_id, depends_on_task_id, created_at_ms)
VALUES (:task_id, :depends_on_task_id, :now_ms)
    ON CONFLICT (task_id, depends_on_task_id) DO NOTHING
RETURNING seq;

-- name: remove :value
-- uses: sqlite_autoindex_task_dependencies_1
DELETE FROM task_dependencies
 WHERE task_id = :task_id
   AND depends_on_task_id = :depends_on_task_id
RETURNING seq;

-- name: of_task :many
-- uses: sqlite_autoindex_task_dependencies_1
-- Oldest first; :after_seq is 0 for the whole list.
SELECT d.seq, d.depends_on_task_id, t.dead_letter_reason,
       CASE WHEN t.is_terminal = 1 AND t.dead_letter_reason IS NULL
            THEN 1 ELSE 0 END AS is_resolved
  FROM task_dependencies AS d
  JOIN tasks AS t ON t.id = d.depends_on_task_id
 WHERE d.task_id = :task_id
   AND d.seq > :after_seq
 ORDER BY d.seq
 LIMIT :limit;

-- name: targets :many
-- uses: sqlite_autoindex_task_dependencies_1
SELECT depends_on_task_id
  FROM task_dependencies
 WHERE task_id = :task_id;

-- name: dependents :many
-- uses: idx_task_dependencies_target
-- Edges that wait for a task, within a range of seq, in order.
SELECT seq, task_id
  FROM task_dependencies
 WHERE depends_on_task_id = :task_id
   AND seq > :after_seq
   AND seq <= :upto_seq
 ORDER BY seq
 LIMIT :limit;

-- name: newest_seq :value
-- uses: idx_task_dependencies_target
SELECT MAX(seq)
  FROM task_dependencies
 WHERE depends_on_task_id = :task_id;

-- name: release_of :one
-- uses: primary key
-- Edges with after_seq < seq <= upto_seq are still counted although the task is resolved.
SELECT task_id, after_seq, upto_seq
  FROM dependency_releases
 WHERE task_id = :task_id;

-- name: releases :many
-- scans: dependency_releases, it is empty but for tasks with hundreds of dependents
SELECT task_id, after_seq, upto_seq
  FROM dependency_releases
 LIMIT 1;

-- name: save_release :run
-- uses: primary key
INSERT INTO dependency_releases (task_id, after_seq, upto_seq)
VALUES (:task_id, :after_seq, :upto_seq)
    ON CONFLICT (task_id) DO UPDATE
   SET after_seq = excluded.after_seq;

-- name: drop_release :run
-- uses: primary key
DELETE FROM dependency_releases
 WHERE task_id = :task_id;
