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
-- uses: idx_tickets_agent, idx_ticket_dispatches_agent
-- Also by a ticket of another agent in whose stage it works.
SELECT 1 AS found
  FROM tickets
 WHERE assigned_agent_id = :agent_id
   AND status IN ('open', 'in_progress', 'blocked')
 UNION ALL
SELECT 1
  FROM ticket_dispatches
 WHERE agent_id = :agent_id
   AND ended_at_ms IS NULL
 LIMIT 1;

-- name: able :one
-- uses: sqlite_autoindex_workspace_agents_1, idx_ticket_dispatches_agent
-- An agent with the number of tickets that it has in hand besides this one.
SELECT a.agent_id, a.role, a.enabled, a.max_active_tickets, 2 AS distance,
       (SELECT COUNT(*)
          FROM ticket_dispatches AS d
         WHERE d.agent_id = a.agent_id
           AND d.ended_at_ms IS NULL
           AND d.state IN ('queued', 'claimed')
           AND d.ticket_id <> :ticket_id) AS live_count
  FROM workspace_agents AS a
 WHERE a.agent_id = :agent_id
   AND a.workspace_id = :workspace_id;

-- name: able_in_role :many
-- uses: idx_workspace_agents_role, idx_ticket_dispatches_agent
-- The same for all agents of a role; the nearer one is to the ticket, the smaller its distance.
SELECT a.agent_id, a.role, a.enabled, a.max_active_tickets,
       CASE WHEN EXISTS (SELECT 1
                           FROM ticket_collaborators AS c
                          WHERE c.ticket_id = :ticket_id
                            AND c.collaborator_id = a.agent_id) THEN 0
            WHEN EXISTS (SELECT 1
                           FROM workspace_team_members AS m
                          WHERE m.workspace_id = a.workspace_id
                            AND m.team_id = :team_id
                            AND m.agent_id = a.agent_id) THEN 1
            ELSE 2 END AS distance,
       (SELECT COUNT(*)
          FROM ticket_dispatches AS d
         WHERE d.agent_id = a.agent_id
           AND d.ended_at_ms IS NULL
           AND d.state IN ('queued', 'claimed')
           AND d.ticket_id <> :ticket_id) AS live_count
  FROM workspace_agents AS a
 WHERE a.workspace_id = :workspace_id
   AND a.role = :role;

-- name: able_in_team :many
-- uses: sqlite_autoindex_workspace_team_members_1, idx_ticket_dispatches_agent
-- The same for all members of a team.
SELECT a.agent_id, a.role, a.enabled, a.max_active_tickets, 1 AS distance,
       (SELECT COUNT(*)
          FROM ticket_dispatches AS d
         WHERE d.agent_id = a.agent_id
           AND d.ended_at_ms IS NULL
           AND d.state IN ('queued', 'claimed')
           AND d.ticket_id <> :ticket_id) AS live_count
  FROM workspace_team_members AS m
  JOIN workspace_agents AS a ON a.agent_id = m.agent_id
 WHERE m.workspace_id = :workspace_id
   AND m.team_id = :team_id;
