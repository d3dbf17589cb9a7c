-- Task facts: an event and the snapshot after it, in one statement.

-- name: add :value
-- PostgreSQL only: a refusal is told by a number, because an error would end the transaction.
SELECT task_facts_add(:req, :n, :state, :previous_state, :is_terminal, :actor, :source, :stage, :message,
                      :data_json, :event_id, :scope, :recorded_at_ms, :kept_stage, :kept_data_json,
                      :first_event_at_ms, :state_entered_at_ms, :terminal_at_ms, :attempts);
