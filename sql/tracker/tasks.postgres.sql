-- Tasks: what each database does in its own way.
--
-- Invariants
--   task_counts together with task_count_deltas holds the number of tasks of each kind; triggers
--   write the deltas.
--   whoever decides on a task, its runs or its lease has locked the task's row before reading.

-- name: lock :run
-- PostgreSQL only: several write at once. First of all locks of a request about one task.
SELECT 1
  FROM tasks
 WHERE id = :task_id
   FOR NO KEY UPDATE;

-- name: lock_seq :run
-- PostgreSQL only: several write at once. For a task that may be deleted.
SELECT 1
  FROM tasks
 WHERE seq = :seq
   FOR UPDATE;

-- name: lock_of_run :run
-- PostgreSQL only: several write at once. The task of a run, which is never another one.
SELECT 1
  FROM runs AS r
  JOIN tasks AS t ON t.id = r.task_id
 WHERE r.id = :run_id
   FOR NO KEY UPDATE OF t;

-- name: lock_shared :run
-- PostgreSQL only: several write at once. Who adds an edge to a task wants it to stay resolved,
-- or unresolved; others may add edges to it at the same time.
SELECT 1
  FROM tasks
 WHERE id = :task_id
   FOR SHARE;

-- name: lock_stage :run
-- PostgreSQL only: several write at once. Claims that count what is held in a stage come one
-- after the other.
SELECT pg_advisory_xact_lock(1, hashtext(:stage));

-- name: next_claimable :many
-- uses: idx_tasks_claim
-- Differs from tasks.sql: rows that another claim holds are passed over. Only where nothing else
-- is there it waits for them, because the other claim may take some other task in the end. The
-- locks only keep claims apart; idx_runs_one_running decides. That claim_assignee is the same for all
-- who have none, PostgreSQL does not take from IS NULL: without it in the order it would sort them all.
WITH
-- Tasks that anybody in the role may take.
open_to_all AS (
    SELECT seq, priority, created_at_ms, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
     ORDER BY claim_assignee, priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE SKIP LOCKED),
-- Tasks reserved for this agent, which go first among equals.
reserved AS (
    SELECT seq, priority, created_at_ms, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE SKIP LOCKED),
free AS MATERIALIZED (
    SELECT seq, priority, created_at_ms, preference FROM open_to_all
     UNION ALL
    SELECT seq, priority, created_at_ms, preference FROM reserved),
-- The same, but waiting.
awaited_open AS (
    SELECT seq, priority, created_at_ms, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND NOT EXISTS (SELECT 1 FROM free)
     ORDER BY claim_assignee, priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE),
awaited_reserved AS (
    SELECT seq, priority, created_at_ms, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND NOT EXISTS (SELECT 1 FROM free)
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE)
SELECT seq, priority, preference, created_at_ms
  FROM (SELECT seq, priority, created_at_ms, preference FROM free
         UNION ALL
        SELECT seq, priority, created_at_ms, preference FROM awaited_open
         UNION ALL
        SELECT seq, priority, created_at_ms, preference FROM awaited_reserved) AS best
 ORDER BY priority DESC, preference, created_at_ms, seq
 LIMIT :limit;

-- name: next_claimable_outside :many
-- uses: idx_tasks_claim
-- As tasks.next_claimable, passing over the stages in :full_stages_json (a JSON array of names).
WITH
full_stages AS MATERIALIZED (
    SELECT json_array_elements_text(CAST(:full_stages_json AS JSON)) COLLATE "C" AS stage),
open_to_all AS (
    SELECT seq, priority, created_at_ms, stage, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT full_stages.stage FROM full_stages)
     ORDER BY claim_assignee, priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE SKIP LOCKED),
reserved AS (
    SELECT seq, priority, created_at_ms, stage, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT full_stages.stage FROM full_stages)
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE SKIP LOCKED),
free AS MATERIALIZED (
    SELECT seq, priority, created_at_ms, stage, preference FROM open_to_all
     UNION ALL
    SELECT seq, priority, created_at_ms, stage, preference FROM reserved),
awaited_open AS (
    SELECT seq, priority, created_at_ms, stage, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT full_stages.stage FROM full_stages)
       AND NOT EXISTS (SELECT 1 FROM free)
     ORDER BY claim_assignee, priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE),
awaited_reserved AS (
    SELECT seq, priority, created_at_ms, stage, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT full_stages.stage FROM full_stages)
       AND NOT EXISTS (SELECT 1 FROM free)
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit
       FOR NO KEY UPDATE)
SELECT seq, stage
  FROM (SELECT seq, priority, created_at_ms, stage, preference FROM free
         UNION ALL
        SELECT seq, priority, created_at_ms, stage, preference FROM awaited_open
         UNION ALL
        SELECT seq, priority, created_at_ms, stage, preference FROM awaited_reserved) AS best
 ORDER BY priority DESC, preference, created_at_ms, seq
 LIMIT :limit;

-- name: due :many
-- uses: idx_tasks_delayed
-- Differs from tasks.sql: what another sweep or request is busy with is left to that one.
SELECT seq
  FROM tasks
 WHERE is_delayed = 1
   AND is_dead = 0
   AND next_eligible_at_ms <= :now_ms
 ORDER BY next_eligible_at_ms
 LIMIT :limit
   FOR NO KEY UPDATE SKIP LOCKED;

-- name: count_by_stage :many
-- scans: task_counts, some rows for each name of a stage
-- scans: task_count_deltas, what was written since the last fold
-- Differs from SQLite's: counts are right only together with their deltas.
SELECT stage, SUM(task_count) AS task_count
  FROM (SELECT stage, task_count FROM task_counts
         UNION ALL
        SELECT stage, task_count FROM task_count_deltas) AS counted
 GROUP BY stage
HAVING SUM(task_count) > 0
 ORDER BY stage;

-- name: fold_counts :run
-- scans: task_count_deltas, all of it is taken
-- PostgreSQL only: adds the deltas to the counts, one process at a time. Readers see both before
-- or both after.
WITH
turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(2, 0) AS is_ours),
taken AS (
    DELETE FROM task_count_deltas
     WHERE (SELECT is_ours FROM turn)
 RETURNING claim_role, stage, queue_state, is_assigned, task_count, failed_run_count)
INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count,
                         failed_run_count)
SELECT claim_role, stage, queue_state, is_assigned, SUM(task_count), SUM(failed_run_count)
  FROM taken
 GROUP BY claim_role, stage, queue_state, is_assigned
    ON CONFLICT (claim_role, stage, queue_state, is_assigned) DO UPDATE
   SET task_count = task_counts.task_count + excluded.task_count,
       failed_run_count = task_counts.failed_run_count + excluded.failed_run_count;
