-- Tasks: units of work, the stage each is in, and what a claim asks about it.
--
-- Invariants
--   task_version goes up by one with every stage change (a self-loop is one), and only then.
--   claim_role and is_terminal are those of the present stage.
--   is_leased = 1 exactly while a run of the task is running.
--   is_delayed = 1 while next_eligible_at_ms has not been seen to pass; a claim clears it.
--   is_dead = 1 where nobody may claim: retries are exhausted, or the task was cancelled.
--   claim_assignee is the agent of the active assignment.
--   open_dependency_count counts dependencies whose task is not resolved, and one more while
--   is_held = 1.
--   A task is claimable where is_dead, is_delayed, is_leased and open_dependency_count are 0
--   and claim_role is set; idx_tasks_claim holds these tasks in the order of the claim.

-- name: create :run
-- uses: primary key
INSERT INTO tasks (id, pipeline_id, stage, title, description, priority, metadata_json,
                   max_attempts, retry_delay_ms, retry_backoff_json, dead_letter_stage,
                   claim_role, claim_assignee, is_terminal, open_dependency_count, manager,
                   created_at_ms, updated_at_ms)
VALUES (:id, :pipeline_id, :stage, :title, :description, :priority, :metadata_json,
        :max_attempts, :retry_delay_ms, :retry_backoff_json, :dead_letter_stage,
        :claim_role, :claim_assignee, :is_terminal, 0, :manager,
        :now_ms, :now_ms);

-- name: get :one
-- uses: sqlite_autoindex_tasks_1
SELECT seq, id, pipeline_id, stage, title, description, priority, metadata_json, task_version,
       next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
       dead_letter_stage, dead_letter_reason, dead_letter_from_stage, failed_attempts,
       last_attempt, run_id, workflow_state_json, created_at_ms, updated_at_ms, claim_role,
       claim_assignee, is_terminal, is_dead, is_delayed, is_leased, open_dependency_count,
       is_held, manager
  FROM tasks
 WHERE id = :task_id;

-- name: seq_of :value
-- uses: sqlite_autoindex_tasks_1
SELECT seq
  FROM tasks
 WHERE id = :task_id;

-- name: page :many
-- uses: idx_tasks_created
-- Keyset page, oldest first. The first page passes the smallest integers.
SELECT seq, id, pipeline_id, stage, title, description, priority, metadata_json, task_version,
       next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
       dead_letter_stage, dead_letter_reason, failed_attempts, created_at_ms, updated_at_ms
  FROM tasks
 WHERE (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: page_dead_lettered :many
-- uses: idx_tasks_dead_lettered
-- scans: tasks, along an index that holds dead-lettered and cancelled tasks only
SELECT seq, id, pipeline_id, stage, title, description, priority, metadata_json, task_version,
       next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
       dead_letter_stage, dead_letter_reason, failed_attempts, created_at_ms, updated_at_ms
  FROM tasks
 WHERE dead_letter_reason IS NOT NULL
   AND (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
   AND (CAST(:stage AS TEXT) IS NULL OR stage = :stage)
   AND (CAST(:pipeline_id AS TEXT) IS NULL OR pipeline_id = :pipeline_id)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: page_by_pipeline_stage :many
-- uses: idx_tasks_pipeline_stage_created
SELECT seq, id, pipeline_id, stage, title, description, priority, metadata_json, task_version,
       next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
       dead_letter_stage, dead_letter_reason, failed_attempts, created_at_ms, updated_at_ms
  FROM tasks
 WHERE pipeline_id = :pipeline_id
   AND stage = :stage
   AND (created_at_ms, seq) > (:after_created_at_ms, :after_seq)
 ORDER BY created_at_ms, seq
 LIMIT :limit;

-- name: next_claimable :many
-- uses: idx_tasks_claim
-- The best tasks for an agent in a role: the first entries of two ranges of one index, so the
-- cost does not depend on how many tasks there are or what stands in front of these.
WITH
-- Tasks that anybody in the role may take.
open_to_all AS (
    SELECT seq, priority, created_at_ms, 1 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee IS NULL
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit),
-- Tasks reserved for this agent, which go first among equals.
reserved AS (
    SELECT seq, priority, created_at_ms, 0 AS preference
      FROM tasks
     WHERE claim_role = :agent_role
       AND claim_assignee = :agent_id
       AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
     ORDER BY priority DESC, created_at_ms, seq
     LIMIT :limit)
SELECT seq, priority, preference, created_at_ms
  FROM (SELECT seq, priority, created_at_ms, preference FROM open_to_all
         UNION ALL
        SELECT seq, priority, created_at_ms, preference FROM reserved) AS best
 ORDER BY priority DESC, preference, created_at_ms, seq
 LIMIT :limit;

-- name: take :one
-- uses: primary key
-- Marks the task as held and counts the attempt; no row means that somebody was first.
UPDATE tasks
   SET is_leased = 1,
       last_attempt = last_attempt + 1
 WHERE seq = :seq
   AND is_dead = 0 AND is_delayed = 0 AND is_leased = 0 AND open_dependency_count = 0
RETURNING seq, id, pipeline_id, stage, title, description, priority, metadata_json,
          task_version, next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
          dead_letter_stage, dead_letter_reason, failed_attempts, last_attempt, claim_role,
          manager, created_at_ms, updated_at_ms;

-- name: due :many
-- uses: idx_tasks_delayed
-- Delayed tasks whose moment has come, the longest due first.
SELECT seq
  FROM tasks
 WHERE is_delayed = 1
   AND is_dead = 0
   AND next_eligible_at_ms <= :now_ms
 ORDER BY next_eligible_at_ms
 LIMIT :limit;

-- name: make_ready :one
-- uses: primary key
UPDATE tasks
   SET is_delayed = 0
 WHERE seq = :seq
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: move :one
-- uses: primary key
-- A transition: the stage changes, the failure budget and every delay are new.
UPDATE tasks
   SET stage = :to_stage,
       task_version = task_version + 1,
       claim_role = :claim_role,
       is_terminal = :is_terminal,
       is_leased = 0,
       is_delayed = 0,
       is_dead = 0,
       failed_attempts = 0,
       dead_letter_reason = NULL,
       dead_letter_from_stage = NULL,
       next_eligible_at_ms = 0,
       updated_at_ms = :now_ms
 WHERE id = :task_id
   AND task_version = :task_version
RETURNING stage, task_version, claim_role, claim_assignee, is_dead, is_delayed, is_leased,
          open_dependency_count;

-- name: retry_later :one
-- uses: sqlite_autoindex_tasks_1
-- A run ended without success; the task waits for its next try.
UPDATE tasks
   SET is_leased = 0,
       is_delayed = :is_delayed,
       next_eligible_at_ms = :next_eligible_at_ms,
       failed_attempts = :failed_attempts,
       updated_at_ms = :now_ms
 WHERE id = :task_id
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: give_up :one
-- uses: sqlite_autoindex_tasks_1
-- Into the dead letter: in place, or into dead_letter_stage with a new version.
UPDATE tasks
   SET stage = :stage,
       task_version = task_version + :version_step,
       claim_role = :claim_role,
       is_terminal = :is_terminal,
       is_leased = 0,
       is_delayed = 0,
       is_dead = :is_dead,
       failed_attempts = :failed_attempts,
       dead_letter_reason = :dead_letter_reason,
       dead_letter_from_stage = COALESCE(dead_letter_from_stage, stage),
       next_eligible_at_ms = :next_eligible_at_ms,
       updated_at_ms = :now_ms
 WHERE id = :task_id
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: revive :one
-- uses: sqlite_autoindex_tasks_1
-- Out of the dead letter, with a new failure budget.
UPDATE tasks
   SET stage = :stage,
       task_version = task_version + :version_step,
       claim_role = :claim_role,
       is_terminal = :is_terminal,
       is_delayed = 0,
       is_dead = 0,
       failed_attempts = 0,
       dead_letter_reason = NULL,
       dead_letter_from_stage = NULL,
       next_eligible_at_ms = 0,
       updated_at_ms = :now_ms
 WHERE id = :task_id
   AND dead_letter_reason IS NOT NULL
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: release :one
-- uses: sqlite_autoindex_tasks_1
-- The holder gives the task back; nothing is charged and nothing waits.
UPDATE tasks
   SET is_leased = 0
 WHERE id = :task_id
RETURNING stage, claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: change :one
-- uses: sqlite_autoindex_tasks_1
-- Every column is passed, the unchanged ones as they were; the version stays.
UPDATE tasks
   SET title = :title,
       description = :description,
       priority = :priority,
       metadata_json = :metadata_json,
       max_attempts = :max_attempts,
       retry_delay_ms = :retry_delay_ms,
       retry_backoff_json = :retry_backoff_json,
       dead_letter_stage = :dead_letter_stage,
       updated_at_ms = :now_ms
 WHERE id = :task_id
RETURNING id, pipeline_id, stage, title, description, priority, metadata_json, task_version,
          next_eligible_at_ms, max_attempts, retry_delay_ms, retry_backoff_json,
          dead_letter_stage, dead_letter_reason, failed_attempts, created_at_ms, updated_at_ms;

-- name: hold :one
-- uses: sqlite_autoindex_tasks_1
-- No row where it is held already.
UPDATE tasks
   SET is_held = 1,
       open_dependency_count = open_dependency_count + 1
 WHERE id = :task_id
   AND is_held = 0
RETURNING task_version;

-- name: unhold :one
-- uses: sqlite_autoindex_tasks_1
-- No row where it is not held.
UPDATE tasks
   SET is_held = 0,
       open_dependency_count = open_dependency_count - 1
 WHERE id = :task_id
   AND is_held = 1
RETURNING task_version, claim_role, claim_assignee, is_dead, is_delayed, is_leased,
          open_dependency_count;

-- name: set_priority :run
-- uses: sqlite_autoindex_tasks_1
UPDATE tasks
   SET priority = :priority,
       updated_at_ms = :now_ms
 WHERE id = :task_id;

-- name: assign :one
-- uses: sqlite_autoindex_tasks_1
UPDATE tasks
   SET claim_assignee = :agent_id
 WHERE id = :task_id
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count,
          manager;

-- name: count_open_dependencies :one
-- uses: sqlite_autoindex_tasks_1
-- Moves the count by one or more in either direction.
UPDATE tasks
   SET open_dependency_count = open_dependency_count + :step
 WHERE id = :task_id
RETURNING claim_role, claim_assignee, is_dead, is_delayed, is_leased, open_dependency_count;

-- name: set_run_state :run
-- uses: sqlite_autoindex_tasks_1
UPDATE tasks
   SET run_id = :run_id,
       workflow_state_json = :workflow_state_json
 WHERE id = :task_id;

-- name: ended :many
-- uses: primary key
-- For a prune: tasks that ended long ago, the youngest first, since a task usually depends on
-- older ones and has to go before them. One walk over the table for all pages together.
SELECT seq
  FROM tasks
 WHERE seq < :before_seq
   AND (is_terminal = 1 OR is_dead = 1)
   AND is_leased = 0
   AND updated_at_ms <= :updated_until_ms
 ORDER BY seq DESC
 LIMIT :limit;

-- name: prune :run
-- uses: primary key, idx_task_dependencies_target
-- Repeats what made the task one to prune: somebody may have revived it, or depend on it.
DELETE FROM tasks
 WHERE seq = :seq
   AND (is_terminal = 1 OR is_dead = 1)
   AND is_leased = 0
   AND updated_at_ms <= :updated_until_ms
   AND NOT EXISTS (SELECT 1
                     FROM task_dependencies AS d
                    WHERE d.depends_on_task_id = tasks.id);
