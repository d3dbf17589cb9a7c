-- Workspaces: whose tickets, agents and teams belong together.

-- name: create :one
-- uses: primary key
INSERT INTO workspaces (id, name, status, dispatch_json, created_at_ms, updated_at_ms)
VALUES (:id, :name, 'active', :dispatch_json, :now_ms, :now_ms)
    ON CONFLICT (id) DO NOTHING
RETURNING id, name, status, dispatch_json, created_at_ms, updated_at_ms;

-- name: get :one
-- uses: sqlite_autoindex_workspaces_1
SELECT id, name, status, dispatch_json, created_at_ms, updated_at_ms
  FROM workspaces
 WHERE id = :workspace_id;

-- name: change :one
-- uses: sqlite_autoindex_workspaces_1
UPDATE workspaces
   SET name = :name,
       status = :status,
       dispatch_json = :dispatch_json,
       updated_at_ms = :now_ms
 WHERE id = :workspace_id
RETURNING id, name, status, dispatch_json, created_at_ms, updated_at_ms;

-- name: page :many
-- uses: idx_workspaces_created
SELECT id, name, status, dispatch_json, created_at_ms, updated_at_ms
  FROM workspaces
 WHERE (created_at_ms, id) > (:after_created_at_ms, :after_id)
 ORDER BY created_at_ms, id
 LIMIT :limit;
