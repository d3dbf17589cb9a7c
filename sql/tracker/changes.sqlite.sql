-- Changes: what each database does in its own way.

-- name: extent :one
-- scans: sqlite_sequence, a row for each table that counts for ever
-- Differs from changes.sql: the newest change there ever was may be one that a database which was
-- copied to this one has given a number and then undone. A cursor may stand there.
SELECT COALESCE(MAX(seq), 0) AS newest_id, COALESCE(MAX(seq), 0) AS upto_id
  FROM sqlite_sequence
 WHERE name = 'changes';
