-- Dispatches: what each database does in its own way.

-- name: present_of_each :many
-- uses: idx_ticket_dispatches_generation
-- The last of each of the tickets in :ids_json (a JSON array).
SELECT d.ticket_id, d.generation, d.task_id, d.pipeline_id, d.agent_id, d.state, d.wait_reason,
       d.stage, d.run_id, d.attempt, d.lease_expires_at_ms, d.last_error, d.created_at_ms,
       d.ended_at_ms, d.end_reason
  FROM tickets AS t
  JOIN ticket_dispatches AS d ON d.ticket_id = t.id AND d.generation = t.generation
 WHERE t.id IN (SELECT json_array_elements_text(CAST(:ids_json AS JSON)) COLLATE "C");
