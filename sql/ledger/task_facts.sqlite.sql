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
