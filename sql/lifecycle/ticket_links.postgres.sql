-- Links: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. New links and parents of a workspace come one after the
-- other, or two of them together could close a circle.
SELECT pg_advisory_xact_lock(9, hashtext(CAST(:workspace_id AS TEXT)));
