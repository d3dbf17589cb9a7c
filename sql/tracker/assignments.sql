-- Assignments: which agent a task is reserved for, with the history of it.
--
-- Invariants
--   at most one active row for a task (idx_task_assignments_one_active); its agent is the
--   task's claim_assignee.

-- name: activate :run
-- uses: sqlite_autoindex_task_assignments_1
-- The other rows of the task were deactivated before; created_at_ms of an old row stays.
INSERT INTO task_assignments (task_id, agent_id, assigned_by, active, created_at_ms,
                              updated_at_ms)
VALUES (:task_id, :agent_id, :assigned_by, 1, :now_ms, :now_ms)
    ON CONFLICT (task_id, agent_id) DO UPDATE
   SET assigned_by = excluded.assigned_by,
       active = 1,
       updated_at_ms = excluded.updated_at_ms;

-- name: deactivate_all :run
-- uses: idx_task_assignments_one_active
UPDATE task_assignments
   SET active = 0,
       updated_at_ms = :now_ms
 WHERE task_id = :task_id
   AND active = 1;

-- name: deactivate :run
-- uses: sqlite_autoindex_task_assignments_1
UPDATE task_assignments
   SET active = 0,
       updated_at_ms = :now_ms
 WHERE task_id = :task_id
   AND agent_id = :agent_id
   AND active = 1;

-- name: of_task :many
-- uses: sqlite_autoindex_task_assignments_1
-- Oldest first, inactive ones included.
SELECT seq, task_id, agent_id, assigned_by, active, created_at_ms, updated_at_ms
  FROM task_assignments
 WHERE task_id = :task_id
   AND seq > :after_seq
 ORDER BY seq
 LIMIT :limit;
