-- Integrations with Linear: one for each workspace that has one.
--
-- Invariants
--   a team of Linear's belongs to one workspace.
--   api_key and webhook_secrets_json are sealed, and go nowhere but to Linear and into signatures.

-- name: get :one
-- uses: sqlite_autoindex_integrations_linear_1
SELECT workspace_id, team_id, enabled, auth_kind, api_key, webhook_secrets_json, import_issues,
       create_labels, status_map_json, replay_window_ms, reconcile_interval_ms, status,
       states_json, limited_until_ms, cursor_ms, reconcile_at_ms, last_error, last_error_at_ms,
       last_success_at_ms, created_at_ms, updated_at_ms
  FROM integrations_linear
 WHERE workspace_id = :workspace_id;

-- name: is_enabled :value
-- uses: sqlite_autoindex_integrations_linear_1
SELECT 1
  FROM integrations_linear
 WHERE workspace_id = :workspace_id
   AND enabled = 1;

-- name: with_unsealed :many
-- scans: integrations_linear, once for each start of a process
SELECT workspace_id, api_key, webhook_secrets_json
  FROM integrations_linear
 WHERE api_key NOT LIKE :sealed;

-- name: seal :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET api_key = :api_key,
       webhook_secrets_json = :webhook_secrets_json
 WHERE workspace_id = :workspace_id
   AND api_key = :as_it_was;

-- name: counts :many
-- scans: integrations_linear, a row for each workspace that is connected, at each scrape
SELECT CASE WHEN enabled = 1 THEN status ELSE 'off' END AS state, COUNT(*) AS row_count
  FROM integrations_linear
 GROUP BY CASE WHEN enabled = 1 THEN status ELSE 'off' END;

-- name: workspace_of_team :value
-- uses: idx_integrations_linear_team
SELECT workspace_id
  FROM integrations_linear
 WHERE team_id = :team_id;

-- name: put :one
-- uses: primary key
-- States of another team mean nothing; those of the same one are kept.
INSERT INTO integrations_linear (workspace_id, team_id, enabled, auth_kind, api_key,
                                 webhook_secrets_json, import_issues, create_labels,
                                 status_map_json, replay_window_ms, reconcile_interval_ms,
                                 status, states_json, limited_until_ms, cursor_ms,
                                 reconcile_at_ms, created_at_ms, updated_at_ms)
VALUES (:workspace_id, :team_id, :enabled, :auth_kind, :api_key, :webhook_secrets_json,
        :import_issues, :create_labels, :status_map_json, :replay_window_ms,
        :reconcile_interval_ms, 'ok', '[]', 0, :now_ms, :reconcile_at_ms, :now_ms, :now_ms)
    ON CONFLICT (workspace_id) DO UPDATE
   SET states_json = CASE WHEN integrations_linear.team_id = excluded.team_id
                          THEN integrations_linear.states_json
                          ELSE excluded.states_json END,
       team_id = excluded.team_id,
       enabled = excluded.enabled,
       auth_kind = excluded.auth_kind,
       api_key = excluded.api_key,
       webhook_secrets_json = excluded.webhook_secrets_json,
       import_issues = excluded.import_issues,
       create_labels = excluded.create_labels,
       status_map_json = excluded.status_map_json,
       replay_window_ms = excluded.replay_window_ms,
       reconcile_interval_ms = excluded.reconcile_interval_ms,
       status = 'ok',
       limited_until_ms = 0,
       reconcile_at_ms = excluded.reconcile_at_ms,
       last_error = NULL,
       updated_at_ms = excluded.updated_at_ms
RETURNING workspace_id, team_id, enabled, auth_kind, api_key, webhook_secrets_json,
          import_issues, create_labels, status_map_json, replay_window_ms,
          reconcile_interval_ms, status, states_json, limited_until_ms, cursor_ms,
          reconcile_at_ms, last_error, last_error_at_ms, last_success_at_ms, created_at_ms,
          updated_at_ms;

-- name: delete :run
-- uses: sqlite_autoindex_integrations_linear_1
DELETE FROM integrations_linear
 WHERE workspace_id = :workspace_id;

-- name: set_status :run
-- uses: sqlite_autoindex_integrations_linear_1
-- Only for the key that was tried: another may have been set meanwhile.
UPDATE integrations_linear
   SET status = :status
 WHERE workspace_id = :workspace_id
   AND api_key = :api_key;

-- name: begin_failing :run
-- uses: sqlite_autoindex_integrations_linear_1
-- One attempt of all that fail finds that it is the first; a refused key is news once more.
UPDATE integrations_linear
   SET last_error = :last_error,
       last_error_at_ms = :now_ms
 WHERE workspace_id = :workspace_id
   AND api_key = :api_key
   AND (last_error IS NULL OR (:is_news = 1 AND last_error <> :last_error));

-- name: go_on_failing :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET last_error = :last_error,
       last_error_at_ms = :now_ms
 WHERE workspace_id = :workspace_id
   AND api_key = :api_key;

-- name: health :one
-- uses: sqlite_autoindex_integrations_linear_1
SELECT last_error, last_success_at_ms
  FROM integrations_linear
 WHERE workspace_id = :workspace_id;

-- name: end_failing :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET last_error = NULL
 WHERE workspace_id = :workspace_id
   AND last_error IS NOT NULL;

-- name: succeed :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET last_success_at_ms = :now_ms
 WHERE workspace_id = :workspace_id;

-- name: set_states :run
-- uses: idx_integrations_linear_team
UPDATE integrations_linear
   SET states_json = :states_json
 WHERE workspace_id = :workspace_id
   AND team_id = :team_id;

-- name: limit :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET limited_until_ms = :until_ms
 WHERE workspace_id = :workspace_id
   AND limited_until_ms < :until_ms;

-- name: ask_to_reconcile :value
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET reconcile_at_ms = :now_ms
 WHERE workspace_id = :workspace_id
RETURNING cursor_ms;

-- name: take_reconcile :one
-- uses: sqlite_autoindex_integrations_linear_1
-- Whoever moves the time reconciles; the others find that it is not due.
UPDATE integrations_linear
   SET reconcile_at_ms = :now_ms + reconcile_interval_ms
 WHERE workspace_id = :workspace_id
   AND reconcile_at_ms <= :now_ms
RETURNING workspace_id, team_id, enabled, auth_kind, api_key, webhook_secrets_json,
          import_issues, create_labels, status_map_json, replay_window_ms,
          reconcile_interval_ms, status, states_json, limited_until_ms, cursor_ms,
          reconcile_at_ms, created_at_ms, updated_at_ms;

-- name: due :many
-- scans: integrations_linear, there are as many as there are teams
-- uses: sqlite_autoindex_workspaces_1
-- An archived workspace takes nothing over, and would have it read by then.
SELECT workspace_id
  FROM integrations_linear
 WHERE enabled = 1
   AND status = 'ok'
   AND limited_until_ms <= :now_ms
   AND reconcile_at_ms <= :now_ms
   AND EXISTS (SELECT 1
                 FROM workspaces AS w
                WHERE w.id = workspace_id
                  AND w.status <> 'archived');

-- name: move_cursor :run
-- uses: sqlite_autoindex_integrations_linear_1
UPDATE integrations_linear
   SET cursor_ms = :cursor_ms
 WHERE workspace_id = :workspace_id
   AND cursor_ms < :cursor_ms;

-- name: any :value
-- scans: integrations_linear, the first row will do
SELECT 1
  FROM integrations_linear
 LIMIT 1;
