-- Pipelines: named definitions of stages and transitions.
--
-- Invariants
--   a pipeline never changes and is never deleted, so a definition may be kept in memory.
--   pipeline_stages holds one row for each stage of definition_json.

-- name: create :one
-- uses: primary key
-- No row means that the name is taken.
INSERT INTO pipelines (id, name, definition_json, created_at_ms)
VALUES (:id, :name, :definition_json, :created_at_ms)
    ON CONFLICT (name) DO NOTHING
RETURNING seq;

-- name: add_stage :run
-- uses: primary key
INSERT INTO pipeline_stages (pipeline_id, stage, agent_role, is_terminal)
VALUES (:pipeline_id, :stage, :agent_role, :is_terminal);

-- name: get :one
-- uses: sqlite_autoindex_pipelines_1
SELECT id, name, definition_json, created_at_ms
  FROM pipelines
 WHERE id = :pipeline_id;

-- name: page :many
-- uses: idx_pipelines_created
-- Newest first. The first page passes the largest integers.
SELECT seq, id, name, definition_json, created_at_ms
  FROM pipelines
 WHERE (created_at_ms, seq) < (:before_created_at_ms, :before_seq)
 ORDER BY created_at_ms DESC, seq DESC
 LIMIT :limit;

-- name: seq_of :value
-- uses: sqlite_autoindex_pipelines_1
SELECT seq
  FROM pipelines
 WHERE id = :pipeline_id;

-- name: id_of_name :value
-- uses: sqlite_autoindex_pipelines_2
SELECT id
  FROM pipelines
 WHERE name = :name;

-- name: stages_of_role :many
-- uses: idx_pipeline_stages_role
SELECT DISTINCT stage
  FROM pipeline_stages
 WHERE agent_role = :agent_role;

-- name: with_stage :many
-- uses: idx_pipeline_stages_stage
SELECT pipeline_id
  FROM pipeline_stages
 WHERE stage = :stage;

-- name: stages_of :many
-- uses: primary key
SELECT stage
  FROM pipeline_stages
 WHERE pipeline_id = :pipeline_id;
