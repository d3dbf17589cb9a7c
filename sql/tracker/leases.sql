-- Leases: short-lived ownership of a run, proved by a token of which only a hash is kept.
--
-- Invariants
--   an active lease belongs to a running run; the run's end takes the lease with it.
--   a lease that ran out (expired) or was taken away (revoked) stays as a row, so that its
--   holder is told 410 and not 404; it never becomes active again.

-- name: grant :run
-- uses: primary key
INSERT INTO leases (id, run_id, task_id, agent_id, agent_role, token_hash, ttl_ms,
                    granted_at_ms, expires_at_ms, status)
VALUES (:id, :run_id, :task_id, :agent_id, :agent_role, :token_hash, :ttl_ms,
        :now_ms, :expires_at_ms, 'active');

-- name: get :one
-- uses: sqlite_autoindex_leases_2, sqlite_autoindex_tasks_1
-- For whoever is about to change it.
SELECT l.id, l.run_id, l.task_id, l.token_hash, l.ttl_ms, l.granted_at_ms, l.expires_at_ms,
       l.status AS lease_status, t.manager, t.dead_letter_reason
  FROM leases AS l
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.id = :lease_id;

-- name: of_run :one
-- uses: primary key, sqlite_autoindex_runs_1, sqlite_autoindex_tasks_1
SELECT l.id, l.run_id, l.task_id, l.token_hash, l.ttl_ms, l.granted_at_ms, l.expires_at_ms,
       l.status AS lease_status, r.status AS run_status, t.manager, t.dead_letter_reason
  FROM leases AS l
  JOIN runs AS r ON r.id = l.run_id
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.run_id = :run_id;

-- name: active_of_task :one
-- uses: idx_runs_one_running, primary key
SELECT l.id, l.run_id, l.task_id, l.agent_id, l.token_hash, l.ttl_ms, l.expires_at_ms,
       l.status AS lease_status
  FROM runs AS r
  JOIN leases AS l ON l.run_id = r.id
 WHERE r.task_id = :task_id
   AND r.status = 'running'
   AND l.status = 'active';

-- name: live_in_stage :value
-- uses: idx_leases_active, sqlite_autoindex_tasks_1
-- How many tasks now in a stage of this name are held, whoever holds them: a walk over the
-- live leases, which are as many as there are agents at work.
SELECT COUNT(*)
  FROM leases AS l
  JOIN tasks AS t ON t.id = l.task_id
 WHERE l.status = 'active'
   AND l.expires_at_ms > :now_ms
   AND t.stage = :stage;

-- name: extend :one
-- uses: sqlite_autoindex_leases_2
-- Repeats the guard that the caller checked, so that a lease which is over is not revived.
UPDATE leases
   SET expires_at_ms = :expires_at_ms,
       ttl_ms = :ttl_ms,
       last_heartbeat_ms = :now_ms
 WHERE id = :lease_id
   AND status = 'active'
   AND expires_at_ms > :now_ms
RETURNING expires_at_ms;

-- name: renew_token :one
-- uses: sqlite_autoindex_leases_2
-- For a repeated claim: the token that was never stored is replaced by a fresh one.
UPDATE leases
   SET token_hash = :token_hash
 WHERE id = :lease_id
   AND status = 'active'
   AND expires_at_ms > :now_ms
RETURNING expires_at_ms;

-- name: remove :run
-- uses: primary key
DELETE FROM leases
 WHERE run_id = :run_id;

-- name: withdraw :run
-- uses: primary key
-- Its time ends now, so that the holder is told so until the row goes.
UPDATE leases
   SET status = 'revoked',
       expires_at_ms = :now_ms
 WHERE run_id = :run_id;

-- name: revoke :run
-- uses: primary key
UPDATE leases
   SET status = 'revoked'
 WHERE run_id = :run_id;

-- name: expire :run
-- uses: sqlite_autoindex_leases_2
UPDATE leases
   SET status = 'expired'
 WHERE id = :lease_id
   AND status = 'active';

-- name: over :many
-- uses: idx_leases_active, sqlite_autoindex_tasks_1
-- Active leases whose time is over, the oldest first, with what decides on their task.
-- A run showed life if it sent a heartbeat, an event, a gate or an artifact.
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
 LIMIT :limit;

-- name: over_of_task :one
-- uses: idx_runs_one_running, primary key, sqlite_autoindex_tasks_1
-- The same for one task.
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
   AND l.expires_at_ms <= :now_ms;

-- name: moments :one
-- uses: idx_leases_active, idx_tasks_delayed
-- scans: dependency_releases, it is empty but for tasks with hundreds of dependents
-- When the next lease ends and the next delay, and whether dependents wait to be freed: one
-- look that tells a claim whether anything is due.
SELECT (SELECT MIN(expires_at_ms)
          FROM leases
         WHERE status = 'active') AS next_expiry_ms,
       (SELECT MIN(next_eligible_at_ms)
          FROM tasks
         WHERE is_delayed = 1
           AND is_dead = 0) AS next_due_ms,
       (SELECT COUNT(*)
          FROM (SELECT 1 AS found
                  FROM dependency_releases
                 LIMIT 1) AS releases) AS release_count;

-- name: count_live :value
-- uses: idx_leases_active
SELECT COUNT(*)
  FROM leases
 WHERE status = 'active'
   AND expires_at_ms > :now_ms;

-- name: next_moment_ms :value
-- uses: idx_tasks_delayed_role, idx_leases_active
-- scans: leases, the next :lease_limit to end and no more
-- The next instant at which a task may become claimable for this role and agent by itself: a
-- delay is over, or a lease runs out. Of the leases the next :lease_limit of all roles are
-- looked at; what comes later is not known.
SELECT MIN(moment_ms)
  FROM (SELECT MIN(next_eligible_at_ms) AS moment_ms
          FROM tasks
         WHERE claim_role = :agent_role
           AND claim_assignee IS NULL
           AND is_delayed = 1 AND is_dead = 0
         UNION ALL
        SELECT MIN(next_eligible_at_ms)
          FROM tasks
         WHERE claim_role = :agent_role
           AND claim_assignee = :agent_id
           AND is_delayed = 1 AND is_dead = 0
         UNION ALL
        SELECT MIN(next.expires_at_ms)
          FROM (SELECT agent_role, expires_at_ms
                  FROM leases
                 WHERE status = 'active'
                 ORDER BY expires_at_ms
                 LIMIT :lease_limit) AS next
         WHERE next.agent_role = :agent_role) AS moments;
