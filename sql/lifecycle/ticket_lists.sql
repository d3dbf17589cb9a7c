-- Lists of tickets: one statement for each order, because an index of the workspace in that order
-- is walked and ends with the page. Filters keep rows on the way.

-- name: by_created_asc :many
-- uses: idx_tickets_created
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (created_at_ms, id) > (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY created_at_ms, id
 LIMIT :limit;

-- name: by_created_desc :many
-- uses: idx_tickets_created
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (created_at_ms, id) < (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY created_at_ms DESC, id DESC
 LIMIT :limit;

-- name: by_updated_asc :many
-- uses: idx_tickets_updated
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (updated_at_ms, id) > (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY updated_at_ms, id
 LIMIT :limit;

-- name: by_updated_desc :many
-- uses: idx_tickets_updated
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (updated_at_ms, id) < (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY updated_at_ms DESC, id DESC
 LIMIT :limit;

-- name: by_priority_asc :many
-- uses: idx_tickets_priority
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (priority, id) > (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY priority, id
 LIMIT :limit;

-- name: by_priority_desc :many
-- uses: idx_tickets_priority
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM ticket_overview
 WHERE workspace_id = :workspace_id
   AND (priority, id) < (:after_value, :after_id)
   AND (CAST(:statuses AS TEXT) IS NULL OR CAST(:statuses AS TEXT) LIKE '%,' || status || ',%')
   AND (CAST(:priority AS BIGINT) IS NULL OR priority = :priority)
   AND (CAST(:assigned_agent_id AS TEXT) IS NULL OR assigned_agent_id = :assigned_agent_id)
   AND (CAST(:assigned_team_id AS TEXT) IS NULL OR assigned_team_id = :assigned_team_id)
   AND (CAST(:delegated_by_agent_id AS TEXT) IS NULL
        OR delegated_by_agent_id = :delegated_by_agent_id)
   AND (CAST(:parent_ticket_id AS TEXT) IS NULL OR parent_ticket_id = :parent_ticket_id)
   AND (CAST(:project_id AS TEXT) IS NULL OR project_id = :project_id)
   AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
   AND (CAST(:external_key AS TEXT) IS NULL OR external_key = :external_key)
   AND (CAST(:labels AS TEXT) IS NULL OR label_keys LIKE :labels ESCAPE '!')
   AND (CAST(:q AS TEXT) IS NULL OR search_text LIKE :q ESCAPE '!')
   AND (CAST(:updated_since_ms AS BIGINT) IS NULL OR updated_at_ms >= :updated_since_ms)
   AND (CAST(:dispatch_state AS TEXT) IS NULL OR shown_dispatch_state = :dispatch_state)
   AND (CAST(:is_blocked AS BIGINT) IS NULL OR is_blocked = :is_blocked)
 ORDER BY priority DESC, id DESC
 LIMIT :limit;
