-- What the library asks of its database, by name.

-- name: columns
SELECT name FROM pragma_table_info(:table);

-- name: event_by_id
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE event_id = :event_id;

-- name: events_after
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE seq > :after_seq
 ORDER BY seq
 LIMIT :limit;

-- name: events_of_req_after
-- seq and n of a req ascend together; the index is over n.
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE req = :req AND seq > :after_seq
 ORDER BY n
 LIMIT :limit;

-- name: events_in_order
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 ORDER BY req, n;

-- name: add_event
INSERT INTO task_events (req, n, state, previous_state, is_terminal, actor, source, stage, message,
                         data_json, event_id, scope, ts_ms, recorded_at_ms)
VALUES (:req, :n, :state, :previous_state, :is_terminal, :actor, :source, :stage, :message,
        :data_json, :event_id, :scope, :ts_ms, :recorded_at_ms);

-- name: snapshot
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req = :req;

-- name: snapshots_in_order
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 ORDER BY req;

-- name: snapshots_after
-- :states is '' for all, else the states between commas, with one at both ends.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req > :after
   AND (:states = '' OR instr(:states, ',' || state || ',') > 0)
   AND (:is_terminal IS NULL OR is_terminal = :is_terminal)
   AND (:source IS NULL OR source = :source)
   AND (:actor IS NULL OR actor = :actor)
   AND substr(req, 1, length(:prefix)) = :prefix
 ORDER BY req
 LIMIT :limit;

-- name: put_snapshot
INSERT OR REPLACE INTO task_state_snapshot (
       req, scope, state, is_terminal, stage, actor, source, message, data_json, first_event_at_ms,
       last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count, last_seq, attempts)
VALUES (:req, :scope, :state, :is_terminal, :stage, :actor, :source, :message, :data_json,
        :first_event_at_ms, :last_event_at_ms, :state_entered_at_ms, :terminal_at_ms, :event_count,
        :last_seq, :attempts);

-- name: drop_snapshot
DELETE FROM task_state_snapshot WHERE req = :req;

-- name: quiet
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE state = :state AND is_terminal = 0 AND last_event_at_ms <= :until_ms
 ORDER BY last_event_at_ms, req
 LIMIT :limit;

-- name: lasting
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE state = :state AND is_terminal = 0 AND state_entered_at_ms <= :until_ms
 ORDER BY state_entered_at_ms, req
 LIMIT :limit;

-- name: last_delivery
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE channel = :channel AND dedupe_key = :key AND status = 'recorded'
 ORDER BY id DESC
 LIMIT 1;

-- name: last_delivery_of_req
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE channel = :channel AND req = :req AND status = 'recorded'
 ORDER BY id DESC
 LIMIT 1;

-- name: add_delivery
INSERT INTO delivery_log (channel, dedupe_key, req, state, payload_hash, cooldown_ms, status,
                          delivered_at_ms, suppressed_count, last_suppressed_at_ms)
VALUES (:channel, :dedupe_key, :req, :state, :payload_hash, :cooldown_ms, :status,
        :delivered_at_ms, :suppressed_count, :last_suppressed_at_ms);

-- name: count_suppressed
UPDATE delivery_log
   SET suppressed_count = suppressed_count + 1, last_suppressed_at_ms = :now_ms
 WHERE id = :id;

-- name: fail_delivery
UPDATE delivery_log SET status = 'failed' WHERE id = :id;

-- name: deliveries_after
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE id > :after_id
   AND (:channel IS NULL OR channel = :channel)
   AND (:req IS NULL OR req = :req)
 ORDER BY id
 LIMIT :limit;

-- name: purge_deliveries
DELETE FROM delivery_log
 WHERE delivered_at_ms < :before_ms AND (:channel IS NULL OR channel = :channel);
