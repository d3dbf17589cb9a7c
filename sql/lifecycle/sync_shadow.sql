-- Shadows: what a ticket and its issue last agreed on, and how their sync goes.
--
-- Invariants
--   every ticket that is or was mirrored has one.
--   remote_updated_at_ms never falls.

-- name: get :one
-- uses: sqlite_autoindex_sync_shadow_1
SELECT ticket_id, workspace_id, fields_json, remote_updated_at_ms, changed_json,
       last_synced_at_ms, is_detached, paused_until_ms, pull_at_ms, last_error, conflict_json
  FROM sync_shadow
 WHERE ticket_id = :ticket_id;

-- name: open :run
-- uses: primary key
-- A ticket that comes back is as one that was never there.
INSERT INTO sync_shadow (ticket_id, workspace_id, fields_json, changed_json, is_detached,
                         paused_until_ms)
VALUES (:ticket_id, :workspace_id, '{}', '{}', 0, 0)
    ON CONFLICT (ticket_id) DO UPDATE
   SET fields_json = '{}',
       remote_updated_at_ms = NULL,
       changed_json = '{}',
       is_detached = 0,
       paused_until_ms = 0,
       pull_at_ms = NULL,
       last_error = NULL,
       conflict_json = NULL;

-- name: set_changed :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET changed_json = :changed_json
 WHERE ticket_id = :ticket_id;

-- name: agree :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET fields_json = :fields_json,
       remote_updated_at_ms = :remote_updated_at_ms,
       conflict_json = :conflict_json,
       last_synced_at_ms = :now_ms,
       last_error = NULL
 WHERE ticket_id = :ticket_id
   AND (remote_updated_at_ms IS NULL OR remote_updated_at_ms <= :remote_updated_at_ms);

-- name: set_conflict :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET conflict_json = :conflict_json
 WHERE ticket_id = :ticket_id;

-- name: set_error :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET last_error = :last_error
 WHERE ticket_id = :ticket_id;

-- name: pause :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET paused_until_ms = :until_ms,
       last_error = :last_error
 WHERE ticket_id = :ticket_id;

-- name: detach :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET is_detached = 1,
       pull_at_ms = NULL
 WHERE ticket_id = :ticket_id;

-- name: detach_workspace :run
-- uses: idx_sync_shadow_workspace
UPDATE sync_shadow
   SET is_detached = 1,
       pull_at_ms = NULL
 WHERE workspace_id = :workspace_id;

-- name: ask_to_pull :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET pull_at_ms = :now_ms,
       paused_until_ms = 0
 WHERE ticket_id = :ticket_id;

-- name: pulls_due :many
-- uses: idx_sync_shadow_pull
SELECT s.ticket_id, s.workspace_id
  FROM sync_shadow AS s
  JOIN integrations_linear AS i
    ON i.workspace_id = s.workspace_id
   AND i.enabled = 1
   AND i.status = 'ok'
   AND i.limited_until_ms <= :now_ms
 WHERE s.pull_at_ms IS NOT NULL
   AND s.pull_at_ms <= :now_ms
 ORDER BY s.pull_at_ms
 LIMIT :limit;

-- name: take_pull :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET pull_at_ms = :again_at_ms
 WHERE ticket_id = :ticket_id
   AND pull_at_ms <= :now_ms;

-- name: end_pull :run
-- uses: sqlite_autoindex_sync_shadow_1
UPDATE sync_shadow
   SET pull_at_ms = NULL
 WHERE ticket_id = :ticket_id
   AND pull_at_ms = :again_at_ms;

-- name: ticket_of_issue :one
-- uses: idx_tickets_external
SELECT id, workspace_id
  FROM tickets
 WHERE external_id = :external_id;

-- name: agent_of_user :value
-- uses: idx_workspace_agents_workspace
-- Several agents may work for one user of Linear's; then the first by id.
SELECT agent_id
  FROM workspace_agents
 WHERE workspace_id = :workspace_id
   AND linear_user_id = :linear_user_id
 ORDER BY agent_id
 LIMIT 1;

-- name: user_of_agent :value
-- uses: sqlite_autoindex_workspace_agents_1
SELECT linear_user_id
  FROM workspace_agents
 WHERE agent_id = :agent_id
   AND workspace_id = :workspace_id;

-- name: issue_of_ticket :one
-- uses: sqlite_autoindex_tickets_1
SELECT external_id, provider
  FROM tickets
 WHERE id = :ticket_id;

-- name: is_duplicate :value
-- uses: idx_ticket_links_duplicate
SELECT 1
  FROM ticket_links
 WHERE source_ticket_id = :ticket_id
   AND type = 'duplicateOf';
