-- Dispatches: the tasks that a ticket was given, one generation after the other.
--
-- Invariants
--   at most one of a ticket is live: ended_at_ms is NULL.

-- name: get :one
-- uses: idx_ticket_dispatches_generation
SELECT ticket_id, generation, task_id, pipeline_id, agent_id, state, wait_reason, stage, run_id,
       attempt, lease_expires_at_ms, last_error, created_at_ms, ended_at_ms, end_reason
  FROM ticket_dispatches
 WHERE ticket_id = :ticket_id
   AND generation = :generation;

-- name: draft_of :value
-- uses: idx_ticket_dispatches_generation
-- The output that the agent has announced.
SELECT output_json
  FROM ticket_dispatches
 WHERE ticket_id = :ticket_id
   AND generation = :generation;

-- name: of_ticket :many
-- uses: idx_ticket_dispatches_generation
SELECT ticket_id, generation, task_id, pipeline_id, agent_id, state, wait_reason, stage, run_id,
       attempt, lease_expires_at_ms, last_error, created_at_ms, ended_at_ms, end_reason
  FROM ticket_dispatches
 WHERE ticket_id = :ticket_id
   AND generation > :after_generation
 ORDER BY generation
 LIMIT :limit;
