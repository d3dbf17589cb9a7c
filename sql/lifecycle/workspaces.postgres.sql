-- Workspaces: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. For whoever changes the workspace itself.
SELECT 1
  FROM workspaces
 WHERE id = :workspace_id
   FOR NO KEY UPDATE;
