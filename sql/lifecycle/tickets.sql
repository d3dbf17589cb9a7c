-- Tickets: units of work as people see them. Written by operations/workflow.py alone.
--
-- Invariants
--   version goes up by one with every change that has an event, and with nothing else.
--   execution_locked_at_ms is set exactly while the status is in_progress; the schema's CHECKs
--   hold the other fields to the status as well.
--   label_keys and search_text are those of labels, title and description.
--   dispatch_state, wait_reason and generation change without a version.

-- name: create :run
-- uses: primary key
INSERT INTO tickets (id, workspace_id, title, description, status, priority, provider,
                     external_id, external_key, url, assigned_agent_id, assigned_team_id,
                     delegated_by_agent_id, channel_id, mode, pipeline_run_id, project_id,
                     parent_ticket_id, output_schema_json, output_json, error_message,
                     execution_locked_at_ms, version, labels_json, label_keys, search_text,
                     status_reason, blocked_kind, dispatch_state, wait_reason, generation,
                     dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter,
                     created_by, created_at_ms, updated_at_ms, started_at_ms, finished_at_ms,
                     status_changed_at_ms)
VALUES (:id, :workspace_id, :title, :description, :status, :priority, :provider, :external_id,
        :external_key, :url, :assigned_agent_id, :assigned_team_id, :delegated_by_agent_id,
        :channel_id, :mode, :pipeline_run_id, :project_id, :parent_ticket_id,
        :output_schema_json, :output_json, :error_message, :execution_locked_at_ms, :version,
        :labels_json, :label_keys, :search_text, :status_reason, :blocked_kind, :dispatch_state,
        :wait_reason, :generation, :dispatch_pipeline_id, :retry_policy_json,
        :on_invalid_output, :on_dead_letter, :created_by, :created_at_ms, :updated_at_ms,
        :started_at_ms, :finished_at_ms, :status_changed_at_ms);

-- name: get :one
-- uses: sqlite_autoindex_tickets_1
SELECT id, workspace_id, title, description, status, priority, provider, external_id,
       external_key, url, assigned_agent_id, assigned_team_id, delegated_by_agent_id,
       channel_id, mode, pipeline_run_id, project_id, parent_ticket_id, output_schema_json,
       output_json, error_message, execution_locked_at_ms, version, labels_json, label_keys,
       search_text, status_reason, blocked_kind, dispatch_state, wait_reason, generation,
       dispatch_pipeline_id, retry_policy_json, on_invalid_output, on_dead_letter, created_by,
       created_at_ms, updated_at_ms, started_at_ms, finished_at_ms, status_changed_at_ms
  FROM tickets
 WHERE id = :ticket_id
   AND workspace_id = :workspace_id;

-- name: update :run
-- uses: sqlite_autoindex_tickets_1
-- Every column that can change is passed; no row means that somebody was first.
UPDATE tickets
   SET title = :title,
       description = :description,
       status = :status,
       priority = :priority,
       provider = :provider,
       external_id = :external_id,
       external_key = :external_key,
       url = :url,
       assigned_agent_id = :assigned_agent_id,
       assigned_team_id = :assigned_team_id,
       delegated_by_agent_id = :delegated_by_agent_id,
       channel_id = :channel_id,
       mode = :mode,
       project_id = :project_id,
       parent_ticket_id = :parent_ticket_id,
       output_schema_json = :output_schema_json,
       output_json = :output_json,
       error_message = :error_message,
       execution_locked_at_ms = :execution_locked_at_ms,
       version = :version,
       labels_json = :labels_json,
       label_keys = :label_keys,
       search_text = :search_text,
       status_reason = :status_reason,
       blocked_kind = :blocked_kind,
       dispatch_state = :dispatch_state,
       wait_reason = :wait_reason,
       generation = :generation,
       dispatch_pipeline_id = :dispatch_pipeline_id,
       retry_policy_json = :retry_policy_json,
       on_invalid_output = :on_invalid_output,
       on_dead_letter = :on_dead_letter,
       updated_at_ms = :updated_at_ms,
       started_at_ms = :started_at_ms,
       finished_at_ms = :finished_at_ms,
       status_changed_at_ms = :status_changed_at_ms
 WHERE id = :id
   AND workspace_id = :workspace_id
   AND version = :stored_version;

-- name: children :many
-- uses: idx_tickets_parent
SELECT status, COUNT(*) AS ticket_count
  FROM tickets
 WHERE parent_ticket_id = :ticket_id
 GROUP BY status
 ORDER BY status;

-- name: line_of :many
-- uses: sqlite_autoindex_tickets_1
-- A ticket and all above it; :most ends a circle that there should not be.
WITH RECURSIVE line (id, parent_ticket_id, delegated_by_agent_id, depth) AS (
    SELECT t.id, t.parent_ticket_id, t.delegated_by_agent_id, 0
      FROM tickets AS t
     WHERE t.id = :ticket_id
     UNION ALL
    SELECT p.id, p.parent_ticket_id, p.delegated_by_agent_id, line.depth + 1
      FROM line
      JOIN tickets AS p ON p.id = line.parent_ticket_id
     WHERE line.depth < CAST(:most AS BIGINT))
SELECT id, delegated_by_agent_id
  FROM line
 ORDER BY depth;

-- name: descendants_of :many
-- uses: idx_tickets_parent
WITH RECURSIVE below (id, status, depth) AS (
    SELECT t.id, t.status, 1
      FROM tickets AS t
     WHERE t.parent_ticket_id = :ticket_id
     UNION ALL
    SELECT c.id, c.status, below.depth + 1
      FROM below
      JOIN tickets AS c ON c.parent_ticket_id = below.id
     WHERE below.depth < CAST(:most AS BIGINT))
SELECT id, status, depth
  FROM below
 ORDER BY depth DESC, id;

-- name: waiting :many
-- uses: idx_tickets_waiting
-- What waits, workspace by workspace, in each the most important first. Begins with ('', 5, -1, '').
SELECT id, workspace_id, priority, created_at_ms
  FROM tickets
 WHERE dispatch_state = 'waiting'
   AND workspace_id >= :after_workspace_id
   AND (workspace_id > :after_workspace_id
        OR priority < :after_priority
        OR (priority = :after_priority
            AND (created_at_ms, id) > (:after_created_at_ms, :after_id)))
 ORDER BY workspace_id, priority DESC, created_at_ms, id
 LIMIT :limit;

-- name: waiting_in :many
-- uses: idx_tickets_waiting
-- The same for one workspace; with an agent, without those that wait for other agents.
SELECT id
  FROM tickets
 WHERE dispatch_state = 'waiting'
   AND workspace_id = :workspace_id
   AND (CAST(:agent_id AS TEXT) IS NULL
        OR assigned_agent_id = :agent_id
        OR assigned_agent_id IS NULL
        OR wait_reason <> 'agent_busy')
 ORDER BY priority DESC, created_at_ms, id
 LIMIT :limit;

-- name: dependent :many
-- uses: idx_tickets_dependent
SELECT seq, id, workspace_id
  FROM tickets
 WHERE blocked_kind = 'dependency'
   AND seq > :after_seq
 ORDER BY seq
 LIMIT :limit;
