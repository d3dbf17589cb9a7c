-- Dispatches: the tasks that a ticket was given, one generation after the other.
--
-- Invariants
--   at most one of a ticket is live: ended_at_ms is NULL. Its generation is the ticket's.
--   none is live once the ticket has ended; while it is blocked, a live one is held.
--   agent_id is the agent for whom the task is reserved.
--   lease_expires_at_ms is set while the run run_id has a lease.
--   whoever changes a row has locked its task first, but for a heartbeat, which has the lease.

-- name: start :run
-- uses: primary key
INSERT INTO ticket_dispatches (ticket_id, generation, task_id, pipeline_id, agent_id, state,
                               stage, created_at_ms)
VALUES (:ticket_id, :generation, :task_id, :pipeline_id, :agent_id, 'queued', :stage, :now_ms);

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

-- name: live :one
-- uses: idx_ticket_dispatches_live
SELECT ticket_id, generation, task_id, pipeline_id, agent_id, state, wait_reason, stage, run_id,
       attempt, lease_expires_at_ms, output_json
  FROM ticket_dispatches
 WHERE ticket_id = :ticket_id
   AND ended_at_ms IS NULL;

-- name: live_of_task :one
-- uses: sqlite_autoindex_ticket_dispatches_1, sqlite_autoindex_tickets_1
-- No row for a task that the ticket has given up.
SELECT d.ticket_id, t.workspace_id, d.generation, d.task_id, d.pipeline_id, d.agent_id, d.state,
       d.wait_reason, d.stage, d.run_id, d.attempt, d.lease_expires_at_ms, d.output_json
  FROM ticket_dispatches AS d
  JOIN tickets AS t ON t.id = d.ticket_id
 WHERE d.task_id = :task_id
   AND d.ended_at_ms IS NULL;

-- name: of_ticket :many
-- uses: idx_ticket_dispatches_generation
SELECT ticket_id, generation, task_id, pipeline_id, agent_id, state, wait_reason, stage, run_id,
       attempt, lease_expires_at_ms, last_error, created_at_ms, ended_at_ms, end_reason
  FROM ticket_dispatches
 WHERE ticket_id = :ticket_id
   AND generation > :after_generation
 ORDER BY generation
 LIMIT :limit;

-- name: claimed :run
-- uses: sqlite_autoindex_ticket_dispatches_1
UPDATE ticket_dispatches
   SET state = 'claimed',
       agent_id = :agent_id,
       run_id = :run_id,
       attempt = :attempt,
       lease_expires_at_ms = :expires_at_ms
 WHERE task_id = :task_id
   AND ended_at_ms IS NULL;

-- name: extended :value
-- uses: sqlite_autoindex_ticket_dispatches_1
-- No row for a task that the ticket has given up.
UPDATE ticket_dispatches
   SET lease_expires_at_ms = :expires_at_ms
 WHERE task_id = :task_id
   AND run_id = :run_id
   AND lease_expires_at_ms IS NOT NULL
   AND ended_at_ms IS NULL
RETURNING ticket_id;

-- name: ticket_of :value
-- uses: sqlite_autoindex_ticket_dispatches_1
-- No row for a task that the ticket has given up.
SELECT ticket_id
  FROM ticket_dispatches
 WHERE task_id = :task_id
   AND ended_at_ms IS NULL;

-- name: run_over :run
-- uses: sqlite_autoindex_ticket_dispatches_1
-- The run ended and its task waits for the next; a ticket that is blocked stays held.
UPDATE ticket_dispatches
   SET state = CASE WHEN state = 'claimed' THEN 'queued' ELSE state END,
       lease_expires_at_ms = NULL,
       last_error = COALESCE(:error, last_error)
 WHERE task_id = :task_id
   AND ended_at_ms IS NULL;

-- name: hold :run
-- uses: idx_ticket_dispatches_live
UPDATE ticket_dispatches
   SET state = 'held'
 WHERE ticket_id = :ticket_id
   AND ended_at_ms IS NULL;

-- name: release :run
-- uses: idx_ticket_dispatches_live
UPDATE ticket_dispatches
   SET state = CASE WHEN lease_expires_at_ms IS NULL THEN 'queued' ELSE 'claimed' END
 WHERE ticket_id = :ticket_id
   AND ended_at_ms IS NULL;

-- name: place :run
-- uses: idx_ticket_dispatches_live
-- The task is in a stage, without a run there yet.
UPDATE ticket_dispatches
   SET stage = :stage,
       agent_id = :agent_id,
       state = :state,
       wait_reason = :wait_reason,
       lease_expires_at_ms = NULL
 WHERE ticket_id = :ticket_id
   AND ended_at_ms IS NULL;

-- name: draft :run
-- uses: sqlite_autoindex_ticket_dispatches_1
UPDATE ticket_dispatches
   SET output_json = :output_json
 WHERE task_id = :task_id
   AND ended_at_ms IS NULL;

-- name: end :run
-- uses: idx_ticket_dispatches_live
UPDATE ticket_dispatches
   SET state = 'ended',
       wait_reason = NULL,
       lease_expires_at_ms = NULL,
       stage = COALESCE(:stage, stage),
       last_error = COALESCE(:error, last_error),
       ended_at_ms = :now_ms,
       end_reason = :end_reason
 WHERE ticket_id = :ticket_id
   AND ended_at_ms IS NULL;

-- name: waiting :many
-- uses: idx_ticket_dispatches_waiting, sqlite_autoindex_tickets_1
-- Tickets in progress whose task is in a stage for which there was nobody, in the order in which
-- they began.
SELECT d.seq, d.ticket_id, d.pipeline_id, d.stage, t.workspace_id
  FROM ticket_dispatches AS d
  JOIN tickets AS t ON t.id = d.ticket_id
 WHERE d.state = 'waiting'
   AND d.seq > :after_seq
 ORDER BY d.seq
 LIMIT :limit;
