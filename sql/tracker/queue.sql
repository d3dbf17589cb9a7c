-- Queue statistics: what waits for each role, and why.
--
-- A task counts for the role of the stage it is in now. Each task with such a role is exactly one
-- of dead, leased, blocked, scheduled and claimable, looked at in this order.

-- name: tasks_by_role :many
-- uses: idx_pipeline_stages_role, idx_tasks_pipeline_stage_created, sqlite_autoindex_runs_2
-- Every role there is, also one without tasks; only tasks in stages with a role are visited.
-- A delayed task whose moment has passed is claimable: the next claim will see to that. One
-- whose lease ran out stays leased until it is swept, since only then its delay is known.
-- Failed runs count wherever the task was when they failed; a task that was never claimed is
-- passed over without looking for its runs.
SELECT s.agent_role,
       COUNT(CASE WHEN t.is_dead = 1 THEN 1 END) AS dead_letter_count,
       COUNT(CASE WHEN t.is_dead = 0 AND t.is_leased = 1 THEN 1 END) AS leased_count,
       COUNT(CASE WHEN t.is_dead = 0 AND t.is_leased = 0 AND t.open_dependency_count > 0
                  THEN 1 END) AS blocked_count,
       COUNT(CASE WHEN t.is_dead = 0 AND t.is_leased = 0 AND t.open_dependency_count = 0
                   AND t.is_delayed = 1 AND t.next_eligible_at_ms > :now_ms
                  THEN 1 END) AS scheduled_count,
       COUNT(CASE WHEN t.is_dead = 0 AND t.is_leased = 0 AND t.open_dependency_count = 0
                   AND (t.is_delayed = 0 OR t.next_eligible_at_ms <= :now_ms)
                  THEN 1 END) AS claimable_count,
       COUNT(CASE WHEN t.is_dead = 0 AND t.is_leased = 0 AND t.open_dependency_count = 0
                   AND (t.is_delayed = 0 OR t.next_eligible_at_ms <= :now_ms)
                   AND t.claim_assignee IS NOT NULL
                  THEN 1 END) AS assigned_count,
       MIN(CASE WHEN t.is_dead = 0 AND t.is_leased = 0 AND t.open_dependency_count = 0
                 AND (t.is_delayed = 0 OR t.next_eligible_at_ms <= :now_ms)
                THEN t.created_at_ms END) AS oldest_claimable_at_ms,
       CAST(SUM(CASE WHEN t.last_attempt > 0
                     THEN (SELECT COUNT(*)
                             FROM runs AS r
                            WHERE r.task_id = t.id
                              AND r.status = 'failed')
                     ELSE 0 END) AS BIGINT) AS failed_count
  FROM pipeline_stages AS s
  LEFT JOIN tasks AS t ON t.pipeline_id = s.pipeline_id AND t.stage = s.stage
 WHERE s.agent_role IS NOT NULL
 GROUP BY s.agent_role;

-- name: stuck_by_role :many
-- uses: idx_runs_one_running, sqlite_autoindex_tasks_1
-- scans: runs, only those that are running, from an index of their own
-- Runs that began long ago and are still running, those with an expired lease included.
SELECT tasks.claim_role AS agent_role, COUNT(*) AS stuck_count
  FROM runs
  JOIN tasks ON tasks.id = runs.task_id
 WHERE runs.status = 'running'
   AND runs.started_at_ms <= :started_until_ms
   AND tasks.claim_role IS NOT NULL
 GROUP BY tasks.claim_role;

-- name: leases_by_role :many
-- uses: idx_leases_active, sqlite_autoindex_tasks_1
-- Leases that end soon, and those that are over but not swept.
SELECT t.claim_role AS agent_role,
       COUNT(CASE WHEN l.expires_at_ms > :now_ms THEN 1 END) AS near_expiry_leases,
       COUNT(CASE WHEN l.expires_at_ms <= :now_ms THEN 1 END) AS expired_leases
  FROM leases AS l
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.status = 'active'
   AND l.expires_at_ms <= :near_until_ms
   AND t.claim_role IS NOT NULL
 GROUP BY t.claim_role;
