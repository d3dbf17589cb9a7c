-- Queue statistics: what each database does in its own way.
--
-- Invariants
--   task_counts holds the number of tasks of each kind; triggers keep it.

-- name: tasks_by_role :many
-- uses: idx_pipeline_stages_role, primary key, idx_tasks_delayed, idx_tasks_claim
-- scans: pipeline_stages, as many rows as pipelines have stages
-- As queue.tasks_by_role, from counts instead of tasks. Tasks are visited only where they are
-- delayed and due, until the next claim has seen to them, and to find the oldest: the first of
-- each assignee and priority.
WITH RECURSIVE
roles AS MATERIALIZED (
    SELECT DISTINCT agent_role
      FROM pipeline_stages
     WHERE agent_role IS NOT NULL),
counts AS MATERIALIZED (
    SELECT roles.agent_role,
           COALESCE(SUM(c.failed_run_count), 0) AS failed_count,
           COALESCE(SUM(CASE WHEN c.queue_state = 'dead' THEN c.task_count END), 0) AS dead,
           COALESCE(SUM(CASE WHEN c.queue_state = 'leased' THEN c.task_count END), 0) AS leased,
           COALESCE(SUM(CASE WHEN c.queue_state = 'blocked' THEN c.task_count END), 0) AS blocked,
           COALESCE(SUM(CASE WHEN c.queue_state = 'delayed' THEN c.task_count END), 0) AS delayed,
           COALESCE(SUM(CASE WHEN c.queue_state = 'ready' THEN c.task_count END), 0) AS ready,
           COALESCE(SUM(CASE WHEN c.queue_state = 'ready' AND c.is_assigned = 1
                             THEN c.task_count END), 0) AS assigned
      FROM roles
      LEFT JOIN task_counts AS c ON c.claim_role = roles.agent_role
     GROUP BY roles.agent_role),
due AS MATERIALIZED (
    SELECT claim_role, COUNT(*) AS task_count, COUNT(claim_assignee) AS assigned_count,
           MIN(created_at_ms) AS oldest_at_ms
      FROM tasks
     WHERE is_delayed = 1 AND is_dead = 0
       AND next_eligible_at_ms <= :now_ms
       AND is_leased = 0 AND open_dependency_count = 0
       AND claim_role IS NOT NULL
     GROUP BY claim_role),
-- From one assignee to the next, beginning with nobody, and from one priority to the next.
assignees (claim_role, claim_assignee) AS (
    SELECT agent_role, NULL
      FROM roles
     UNION ALL
    -- An agent without a name is the first of all.
    SELECT agent_role, ''
      FROM roles
     UNION ALL
    SELECT assignees.claim_role,
           (SELECT MIN(t.claim_assignee)
              FROM tasks AS t
             WHERE t.claim_role = assignees.claim_role
               AND t.claim_assignee > assignees.claim_assignee
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0) AS next_assignee
      FROM assignees
     WHERE next_assignee IS NOT NULL),
priorities (claim_role, claim_assignee, priority) AS (
    SELECT assignees.claim_role, assignees.claim_assignee,
           (SELECT MAX(t.priority)
              FROM tasks AS t
             WHERE t.claim_role = assignees.claim_role
               AND t.claim_assignee IS assignees.claim_assignee
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0) AS highest
      FROM assignees
     WHERE highest IS NOT NULL
     UNION ALL
    SELECT priorities.claim_role, priorities.claim_assignee,
           (SELECT MAX(t.priority)
              FROM tasks AS t
             WHERE t.claim_role = priorities.claim_role
               AND t.claim_assignee IS priorities.claim_assignee
               AND t.priority < priorities.priority
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0) AS next_lower
      FROM priorities
     WHERE next_lower IS NOT NULL),
oldest AS MATERIALIZED (
    SELECT priorities.claim_role,
           MIN((SELECT MIN(t.created_at_ms)
                  FROM tasks AS t
                 WHERE t.claim_role = priorities.claim_role
                   AND t.claim_assignee IS priorities.claim_assignee
                   AND t.priority = priorities.priority
                   AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
                   AND t.open_dependency_count = 0)) AS created_at_ms
      FROM priorities
     GROUP BY priorities.claim_role)
SELECT counts.agent_role,
       counts.dead AS dead_letter_count,
       counts.leased AS leased_count,
       counts.blocked AS blocked_count,
       counts.delayed - COALESCE(due.task_count, 0) AS scheduled_count,
       counts.ready + COALESCE(due.task_count, 0) AS claimable_count,
       counts.assigned + COALESCE(due.assigned_count, 0) AS assigned_count,
       NULLIF(MIN(COALESCE(oldest.created_at_ms, 9223372036854775807),
                  COALESCE(due.oldest_at_ms, 9223372036854775807)),
              9223372036854775807) AS oldest_claimable_at_ms,
       counts.failed_count
  FROM counts
  LEFT JOIN due ON due.claim_role = counts.agent_role
  LEFT JOIN oldest ON oldest.claim_role = counts.agent_role;
