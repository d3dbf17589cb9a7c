-- Agents of workspaces.
--
-- Invariants
--   an id belongs to one workspace: the tracker lets agents claim by their id alone.

-- name: put :one
-- uses: primary key
-- No row where the id belongs to another workspace.
INSERT INTO workspace_agents (agent_id, workspace_id, role, enabled, max_active_tickets,
                              display_name, linear_user_id, created_at_ms, updated_at_ms)
VALUES (:agent_id, :workspace_id, :role, :enabled, :max_active_tickets,
        :display_name, :linear_user_id, :now_ms, :now_ms)
    ON CONFLICT (agent_id) DO UPDATE
   SET role = excluded.role,
       enabled = excluded.enabled,
       max_active_tickets = excluded.max_active_tickets,
       display_name = excluded.display_name,
       linear_user_id = excluded.linear_user_id,
       updated_at_ms = excluded.updated_at_ms
 WHERE workspace_agents.workspace_id = excluded.workspace_id
RETURNING agent_id, workspace_id, role, enabled, max_active_tickets, display_name,
          linear_user_id, created_at_ms, updated_at_ms;

-- name: get :one
-- uses: sqlite_autoindex_workspace_agents_1
SELECT agent_id, workspace_id, role, enabled, max_active_tickets, display_name,
       linear_user_id, created_at_ms, updated_at_ms
  FROM workspace_agents
 WHERE agent_id = :agent_id
   AND workspace_id = :workspace_id;

-- name: page :many
-- uses: idx_workspace_agents_workspace
SELECT agent_id, workspace_id, role, enabled, max_active_tickets, display_name,
       linear_user_id, created_at_ms, updated_at_ms
  FROM workspace_agents
 WHERE workspace_id = :workspace_id
   AND agent_id > :after_id
 ORDER BY agent_id
 LIMIT :limit;

-- name: delete :run
-- uses: sqlite_autoindex_workspace_agents_1
DELETE FROM workspace_agents
 WHERE agent_id = :agent_id
   AND workspace_id = :workspace_id;

-- name: is_in_use :value
-- uses: idx_tickets_agent
SELECT 1
  FROM tickets
 WHERE assigned_agent_id = :agent_id
   AND status IN ('open', 'in_progress', 'blocked')
 LIMIT 1;
