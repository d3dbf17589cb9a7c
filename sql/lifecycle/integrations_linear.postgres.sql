-- Integrations with Linear: what PostgreSQL does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. Whoever connects a workspace or a team is alone.
SELECT pg_advisory_xact_lock(8, 1);
