-- Task facts: an event and the snapshot after it, in one statement.

-- name: add :value
-- PostgreSQL only: a refusal is told by a number, because an error would end the transaction.
SELECT task_facts_add(:req, :n, :state, :previous_state, :is_terminal, :actor, :source, :stage, :message,
                      :data_json, :event_id, :scope, :recorded_at_ms, :kept_stage, :kept_data_json,
                      :first_event_at_ms, :state_entered_at_ms, :terminal_at_ms, :attempts);

-- name: step :value
-- uses: task_state_snapshot_pkey
-- PostgreSQL only: a refusal is told by a number, because an error would end the transaction. Folds
-- as snapshots.fold does, in the one statement that a fact of a task mostly takes. :previous are
-- the states that it may follow, :attempted_from those from which it is a new attempt.
SELECT task_facts_add(
           req, event_count + 1, :state, state, :is_terminal,
           COALESCE(CAST(:actor AS TEXT), actor), :source, CAST(:stage AS TEXT), :message,
           CAST(:data_json AS TEXT), :event_id, scope, CAST(:now_ms AS BIGINT),
           COALESCE(CAST(:stage AS TEXT), stage), COALESCE(CAST(:data_json AS TEXT), data_json),
           first_event_at_ms,
           CASE WHEN state = :state THEN state_entered_at_ms ELSE CAST(:now_ms AS BIGINT) END,
           CASE WHEN CAST(:is_terminal AS BIGINT) = 1 THEN CAST(:now_ms AS BIGINT) END,
           attempts + CASE WHEN strpos(:attempted_from, ',' || state || ',') > 0
                           THEN 1 ELSE 0 END)
  FROM (SELECT req, scope, state, stage, actor, data_json, first_event_at_ms, state_entered_at_ms,
               event_count, attempts
          FROM task_state_snapshot
         WHERE req = :req
           FOR NO KEY UPDATE) AS s
 WHERE strpos(:previous, ',' || state || ',') > 0;

-- name: open :value
-- PostgreSQL only: a refusal is told by a number, because an error would end the transaction. The
-- first fact of a req.
SELECT task_facts_add(
           :req, 1, :state, NULL, 0, :actor, :source, :stage, :message, :data_json, :event_id,
           :scope, CAST(:recorded_at_ms AS BIGINT), :stage, :data_json,
           CAST(:recorded_at_ms AS BIGINT), CAST(:recorded_at_ms AS BIGINT), NULL, 0);
