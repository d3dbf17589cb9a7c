-- OTLP traces: exports as they came (batches), and the spans found in them.
--
-- Invariants
--   a batch keeps its body, as text in payload_json or as bytes in payload_blob.
--   parsed_spans is the number of its spans; deleting a batch deletes them.

-- name: add_batch :value
-- uses: primary key
INSERT INTO otlp_batches (received_at_ms, content_type, payload_json, payload_blob,
                          parsed_spans)
VALUES (:now_ms, :content_type, :payload_json, :payload_blob, :parsed_spans)
RETURNING id;

-- name: add_span :run
-- uses: primary key
INSERT INTO otlp_spans (batch_id, trace_id, span_id, parent_span_id, name, kind,
                        start_time_unix_nano, end_time_unix_nano, status_code, status_message,
                        attributes_json, resource_attributes_json, scope_name, scope_version,
                        run_id, task_id, raw_json)
VALUES (:batch_id, :trace_id, :span_id, :parent_span_id, :name, :kind,
        :start_time_unix_nano, :end_time_unix_nano, :status_code, :status_message,
        :attributes_json, :resource_attributes_json, :scope_name, :scope_version,
        :run_id, :task_id, :raw_json);

-- name: page :many
-- uses: primary key
SELECT id, batch_id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano,
       end_time_unix_nano, status_code, status_message, attributes_json,
       resource_attributes_json, scope_name, scope_version, run_id, task_id, raw_json
  FROM otlp_spans
 WHERE id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_of_trace :many
-- uses: idx_otlp_spans_trace
-- The spans of one trace are few; run and task, null for any, are looked at row by row.
SELECT id, batch_id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano,
       end_time_unix_nano, status_code, status_message, attributes_json,
       resource_attributes_json, scope_name, scope_version, run_id, task_id, raw_json
  FROM otlp_spans
 WHERE trace_id = :trace_id
   AND (CAST(:run_id AS TEXT) IS NULL OR run_id = :run_id)
   AND (CAST(:task_id AS TEXT) IS NULL OR task_id = :task_id)
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_of_run :many
-- uses: idx_otlp_spans_run
-- A run belongs to one task; the task, null for any, is looked at row by row.
SELECT id, batch_id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano,
       end_time_unix_nano, status_code, status_message, attributes_json,
       resource_attributes_json, scope_name, scope_version, run_id, task_id, raw_json
  FROM otlp_spans
 WHERE run_id = :run_id
   AND (CAST(:task_id AS TEXT) IS NULL OR task_id = :task_id)
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_of_task :many
-- uses: idx_otlp_spans_task
SELECT id, batch_id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano,
       end_time_unix_nano, status_code, status_message, attributes_json,
       resource_attributes_json, scope_name, scope_version, run_id, task_id, raw_json
  FROM otlp_spans
 WHERE task_id = :task_id
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: prune :run
-- uses: idx_otlp_batches_received
-- At most :limit batches, the oldest first; their spans go with them.
DELETE FROM otlp_batches
 WHERE id IN (SELECT id
                FROM otlp_batches
               WHERE received_at_ms <= :received_until_ms
               ORDER BY received_at_ms
               LIMIT :limit);
