-- Snapshots: what PostgreSQL does in its own way.

-- name: get_to_write :one
-- uses: task_state_snapshot_pkey
-- Differs from task_state_snapshot.sql: several write at once. Who adds an event to a req waits for
-- the one before; two first events are kept apart by the number of the event.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req = :req
   FOR NO KEY UPDATE;

-- name: lock_all :run
-- PostgreSQL only: several write at once. Until the end of the transaction nobody begins to write.
LOCK TABLE task_state_snapshot IN EXCLUSIVE MODE;
