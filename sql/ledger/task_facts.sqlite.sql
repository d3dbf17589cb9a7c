-- Task facts: an event and the snapshot after it, in one statement.

-- name: add :value
-- SQLite only: a refusal undoes this statement and nothing else.
INSERT INTO task_facts (req, n, state, previous_state, is_terminal, actor, source, stage, message,
                        data_json, event_id, scope, recorded_at_ms, kept_stage, kept_data_json,
                        first_event_at_ms, state_entered_at_ms, terminal_at_ms, attempts)
VALUES (:req, :n, :state, :previous_state, :is_terminal, :actor, :source, :stage, :message,
        :data_json, :event_id, :scope, :recorded_at_ms, :kept_stage, :kept_data_json,
        :first_event_at_ms, :state_entered_at_ms, :terminal_at_ms, :attempts)
RETURNING 1;

-- name: step :value
-- uses: sqlite_autoindex_task_state_snapshot_1
-- SQLite only: a refusal undoes this statement and nothing else. Folds as snapshots.fold does, in
-- the one statement that a fact of a task mostly takes. :previous are the states that it may
-- follow, :attempted_from those from which it is a new attempt.
INSERT INTO task_facts (req, n, state, previous_state, is_terminal, actor, source, stage, message,
                        data_json, event_id, scope, recorded_at_ms, kept_stage, kept_data_json,
                        first_event_at_ms, state_entered_at_ms, terminal_at_ms, attempts)
SELECT req, event_count + 1, :state, state, :is_terminal, COALESCE(:actor, actor), :source,
       :stage, :message, :data_json, :event_id, scope, :now_ms, COALESCE(:stage, stage),
       COALESCE(:data_json, data_json), first_event_at_ms,
       CASE WHEN state = :state THEN state_entered_at_ms ELSE :now_ms END,
       CASE WHEN :is_terminal = 1 THEN :now_ms END,
       attempts + (instr(:attempted_from, ',' || state || ',') > 0)
  FROM task_state_snapshot
 WHERE req = :req
   AND instr(:previous, ',' || state || ',') > 0
RETURNING 1;

-- name: open :value
-- SQLite only: a refusal undoes this statement and nothing else. The first fact of a req.
INSERT INTO task_facts (req, n, state, is_terminal, actor, source, stage, message, data_json,
                        event_id, scope, recorded_at_ms, kept_stage, kept_data_json,
                        first_event_at_ms, state_entered_at_ms, attempts)
VALUES (:req, 1, :state, 0, :actor, :source, :stage, :message, :data_json, :event_id, :scope,
        :recorded_at_ms, :stage, :data_json, :recorded_at_ms, :recorded_at_ms, 0)
RETURNING 1;
