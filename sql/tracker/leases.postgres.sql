-- Leases: what each database does in its own way.

-- name: get :one
-- uses: leases_id_key
-- Differs from leases.sql: the lease is locked, so that whoever waited for it reads the clock after
-- that, and extends no lease that ran out meanwhile.
SELECT l.id, l.run_id, l.task_id, l.token_hash, l.ttl_ms, l.granted_at_ms, l.expires_at_ms,
       l.status AS lease_status, t.manager, t.dead_letter_reason
  FROM leases AS l
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.id = :lease_id
   FOR NO KEY UPDATE OF l;

-- name: over :many
-- uses: idx_leases_active
-- Differs from leases.sql: task and lease are locked, and what another sweep or request is busy
-- with is left to that one.
SELECT l.id, l.run_id, l.task_id, l.expires_at_ms, t.manager,
       CASE WHEN l.last_heartbeat_ms IS NOT NULL
              OR EXISTS (SELECT 1 FROM events AS e
                          WHERE e.run_id = l.run_id AND e.origin = 'agent')
              OR EXISTS (SELECT 1 FROM gate_results AS g WHERE g.run_id = l.run_id)
              OR EXISTS (SELECT 1 FROM artifacts AS a WHERE a.run_id = l.run_id)
            THEN 1 ELSE 0 END AS showed_life
  FROM leases AS l
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.status = 'active'
   AND l.expires_at_ms <= :now_ms
 ORDER BY l.expires_at_ms
 LIMIT :limit
   FOR NO KEY UPDATE OF t, l SKIP LOCKED;

-- name: over_of_task :one
-- uses: idx_runs_one_running
-- Differs from leases.sql: the lease is locked, because a heartbeat does not lock the task.
SELECT l.id, l.run_id, l.task_id, l.expires_at_ms, t.manager,
       CASE WHEN l.last_heartbeat_ms IS NOT NULL
              OR EXISTS (SELECT 1 FROM events AS e
                          WHERE e.run_id = l.run_id AND e.origin = 'agent')
              OR EXISTS (SELECT 1 FROM gate_results AS g WHERE g.run_id = l.run_id)
              OR EXISTS (SELECT 1 FROM artifacts AS a WHERE a.run_id = l.run_id)
            THEN 1 ELSE 0 END AS showed_life
  FROM runs AS r
  JOIN leases AS l ON l.run_id = r.id
  JOIN tasks AS t ON t.id = r.task_id
 WHERE r.task_id = :task_id
   AND r.status = 'running'
   AND l.status = 'active'
   AND l.expires_at_ms <= :now_ms
   FOR NO KEY UPDATE OF l;

-- name: next_moment_ms :value
-- uses: idx_tasks_delayed_role, idx_leases_active
-- Differs from leases.sql: that claim_assignee is the same for all who have none, PostgreSQL does
-- not take from IS NULL, and would read all delayed tasks of a role for the first of them.
SELECT MIN(moment_ms)
  FROM (SELECT open_to_all.moment_ms
          FROM (SELECT next_eligible_at_ms AS moment_ms
                  FROM tasks
                 WHERE claim_role = :agent_role
                   AND claim_assignee IS NULL
                   AND is_delayed = 1 AND is_dead = 0
                 ORDER BY claim_assignee, next_eligible_at_ms
                 LIMIT 1) AS open_to_all
         UNION ALL
        SELECT reserved.moment_ms
          FROM (SELECT next_eligible_at_ms AS moment_ms
                  FROM tasks
                 WHERE claim_role = :agent_role
                   AND claim_assignee = :agent_id
                   AND is_delayed = 1 AND is_dead = 0
                 ORDER BY next_eligible_at_ms
                 LIMIT 1) AS reserved
         UNION ALL
        SELECT MIN(next.expires_at_ms)
          FROM (SELECT agent_role, expires_at_ms
                  FROM leases
                 WHERE status = 'active'
                 ORDER BY expires_at_ms
                 LIMIT :lease_limit) AS next
         WHERE next.agent_role = :agent_role) AS moments;
