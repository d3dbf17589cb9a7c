-- Changes: what each database does in its own way.

-- name: extent :one
-- Differs from changes.sql: transactions end in another order than they drew their ids in, so
-- that a reader must stop before the first id that may still come.
SELECT newest_id, upto_id
  FROM changes_extent();
