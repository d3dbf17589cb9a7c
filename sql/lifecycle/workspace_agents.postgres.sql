-- Agents of workspaces: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. Whoever changes an agent, or gives it work, is alone
-- with it.
SELECT pg_advisory_xact_lock(7, hashtext(CAST(:agent_id AS TEXT)));
