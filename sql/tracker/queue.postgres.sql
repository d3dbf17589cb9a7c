-- Queue statistics: what each database does in its own way.
--
-- Invariants
--   task_counts together with task_count_deltas holds the number of tasks of each kind.

-- name: tasks_by_role :many
-- uses: idx_tasks_delayed, idx_tasks_claim
-- scans: pipeline_stages, as many rows as pipelines have stages
-- scans: task_counts, some rows for each role and stage
-- scans: task_count_deltas, what was written since the last fold
-- As queue.tasks_by_role, from counts instead of tasks. Tasks are visited only where they are
-- delayed and due, until the next claim has seen to them, and to find the oldest: the first of
-- each assignee and priority.
WITH RECURSIVE
roles AS MATERIALIZED (
    SELECT DISTINCT agent_role
      FROM pipeline_stages
     WHERE agent_role IS NOT NULL),
moved AS (
    SELECT claim_role, queue_state, is_assigned, task_count, failed_run_count
      FROM task_counts
     UNION ALL
    SELECT claim_role, queue_state, is_assigned, task_count, failed_run_count
      FROM task_count_deltas),
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
      LEFT JOIN moved AS c ON c.claim_role = roles.agent_role
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
-- From one assignee to the next, beginning with nobody, and from one priority to the next. Each
-- step is one probe of the index, where "nobody" has to be asked for in other words.
assignees (claim_role, claim_assignee) AS (
    -- An agent without a name is the first of all.
    SELECT r.agent_role, CAST(start.claim_assignee AS TEXT) COLLATE "C"
      FROM roles AS r
     CROSS JOIN (VALUES (NULL), ('')) AS start (claim_assignee)
     UNION ALL
    SELECT before.claim_role, next.claim_assignee
      FROM assignees AS before
     CROSS JOIN LATERAL (
           SELECT t.claim_assignee
             FROM tasks AS t
            WHERE t.claim_role = before.claim_role
              AND t.claim_assignee > before.claim_assignee
              AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
              AND t.open_dependency_count = 0
            ORDER BY t.claim_assignee
            LIMIT 1) AS next),
priorities (claim_role, claim_assignee, priority) AS (
    SELECT claim_role, claim_assignee, CAST(9223372036854775807 AS BIGINT)
      FROM assignees
     UNION ALL
    SELECT before.claim_role, before.claim_assignee, next.priority
      FROM priorities AS before
     CROSS JOIN LATERAL (
           (SELECT t.priority
              FROM tasks AS t
             WHERE before.claim_assignee IS NULL
               AND t.claim_role = before.claim_role
               AND t.claim_assignee IS NULL
               AND t.priority < before.priority
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0
             ORDER BY t.claim_assignee, t.priority DESC
             LIMIT 1)
            UNION ALL
           (SELECT t.priority
              FROM tasks AS t
             WHERE t.claim_role = before.claim_role
               AND t.claim_assignee = before.claim_assignee
               AND t.priority < before.priority
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0
             ORDER BY t.priority DESC
             LIMIT 1)) AS next),
oldest AS MATERIALIZED (
    SELECT p.claim_role, MIN(first.created_at_ms) AS created_at_ms
      FROM priorities AS p
     CROSS JOIN LATERAL (
           (SELECT t.created_at_ms
              FROM tasks AS t
             WHERE p.claim_assignee IS NULL
               AND t.claim_role = p.claim_role
               AND t.claim_assignee IS NULL
               AND t.priority = p.priority
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0
             ORDER BY t.claim_assignee, t.created_at_ms
             LIMIT 1)
            UNION ALL
           (SELECT t.created_at_ms
              FROM tasks AS t
             WHERE t.claim_role = p.claim_role
               AND t.claim_assignee = p.claim_assignee
               AND t.priority = p.priority
               AND t.is_dead = 0 AND t.is_delayed = 0 AND t.is_leased = 0
               AND t.open_dependency_count = 0
             ORDER BY t.created_at_ms
             LIMIT 1)) AS first
     GROUP BY p.claim_role)
SELECT counts.agent_role,
       counts.dead AS dead_letter_count,
       counts.leased AS leased_count,
       counts.blocked AS blocked_count,
       counts.delayed - COALESCE(due.task_count, 0) AS scheduled_count,
       counts.ready + COALESCE(due.task_count, 0) AS claimable_count,
       counts.assigned + COALESCE(due.assigned_count, 0) AS assigned_count,
       LEAST(oldest.created_at_ms, due.oldest_at_ms) AS oldest_claimable_at_ms,
       counts.failed_count
  FROM counts
  LEFT JOIN due ON due.claim_role = counts.agent_role
  LEFT JOIN oldest ON oldest.claim_role = counts.agent_role;
