-- Task events: what PostgreSQL does in its own way.

-- name: extent :one
-- Differs from task_events.sql: transactions end in another order than they drew their numbers in,
-- so that a reader must stop before the first number that may still come.
SELECT newest_seq, upto_seq
  FROM task_events_extent();
