-- Teams of workspaces and their members.

-- name: put :run
-- uses: primary key
INSERT INTO workspace_teams (workspace_id, team_id, name, created_at_ms, updated_at_ms)
VALUES (:workspace_id, :team_id, :name, :now_ms, :now_ms)
    ON CONFLICT (workspace_id, team_id) DO UPDATE
   SET name = excluded.name,
       updated_at_ms = excluded.updated_at_ms;

-- name: clear :run
-- uses: primary key
DELETE FROM workspace_team_members
 WHERE workspace_id = :workspace_id
   AND team_id = :team_id;

-- name: add_member :run
-- uses: primary key
INSERT INTO workspace_team_members (workspace_id, team_id, agent_id, position)
VALUES (:workspace_id, :team_id, :agent_id, :position);

-- name: get :one
-- uses: primary key
SELECT workspace_id, team_id, name, created_at_ms, updated_at_ms
  FROM workspace_teams
 WHERE workspace_id = :workspace_id
   AND team_id = :team_id;

-- name: members :many
-- uses: primary key
SELECT agent_id
  FROM workspace_team_members
 WHERE workspace_id = :workspace_id
   AND team_id = :team_id
 ORDER BY position;

-- name: page :many
-- uses: primary key
SELECT workspace_id, team_id, name, created_at_ms, updated_at_ms
  FROM workspace_teams
 WHERE workspace_id = :workspace_id
   AND team_id > :after_id
 ORDER BY team_id
 LIMIT :limit;

-- name: delete :run
-- uses: primary key
DELETE FROM workspace_teams
 WHERE workspace_id = :workspace_id
   AND team_id = :team_id;

-- name: is_in_use :value
-- uses: idx_tickets_team
SELECT 1
  FROM tickets
 WHERE workspace_id = :workspace_id
   AND assigned_team_id = :team_id
   AND status IN ('open', 'in_progress', 'blocked')
 LIMIT 1;
