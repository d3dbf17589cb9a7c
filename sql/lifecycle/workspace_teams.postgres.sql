-- Teams: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. Whoever changes a team is alone with it.
SELECT pg_advisory_xact_lock(8, hashtext(CONCAT_WS(' ', CAST(:workspace_id AS TEXT),
                                                   CAST(:team_id AS TEXT))));
