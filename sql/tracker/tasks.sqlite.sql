-- Tasks: what each database does in its own way.
--
-- Invariants
--   task_counts holds the number of tasks of each kind; triggers keep it, which one writer at a
--   time makes cheap.

-- name: next_claimable_outside :many
-- uses: idx_tasks_claim
-- As tasks.next_claimable, passing over the stages in :full_stages_json (a JSON array of names).
-- The walk stays inside the index, which holds the stage; it is long only where very many tasks
-- of full stages stand in front. An index by stage would cost every claim more than it saves
-- these.
WITH
open_to_all AS (
    SELECT seq, priority, created_at_ms, stage, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT value FROM json_each(:full_stages_json))
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit),
reserved AS (
    SELECT seq, priority, created_at_ms, stage, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
       AND stage NOT IN (SELECT value FROM json_each(:full_stages_json))
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit)
SELECT seq, stage
  FROM (SELECT seq, priority, created_at_ms, stage, preference FROM open_to_all
         UNION ALL
        SELECT seq, priority, created_at_ms, stage, preference FROM reserved) AS best
 ORDER BY priority DESC, preference, created_at_ms, seq
 LIMIT :limit;

-- name: count_by_stage :many
-- scans: task_counts, some rows for each name of a stage
SELECT stage, SUM(task_count) AS task_count
  FROM task_counts
 GROUP BY stage
HAVING SUM(task_count) > 0
 ORDER BY stage;
