-- Snapshots: where each req stands, a fold over its events that can be made anew.
--
-- Invariants
--   there is a row for each req that has events, written in the transaction of each event.

-- name: get :one
-- uses: sqlite_autoindex_task_state_snapshot_1
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req = :req;

-- name: get_to_write :one
-- uses: sqlite_autoindex_task_state_snapshot_1
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req = :req;

-- name: later_life :value
-- uses: sqlite_autoindex_task_state_snapshot_1
-- Of a task that was taken up again after its end: the req that is open, else the one that ended
-- last. Few tasks have more than one.
SELECT req
  FROM task_state_snapshot
 WHERE req > :from_req
   AND req < :end_req
 ORDER BY is_terminal, last_seq DESC
 LIMIT 1;

-- name: put :run
-- uses: primary key
INSERT INTO task_state_snapshot (
       req, scope, state, is_terminal, stage, actor, source, message, data_json, first_event_at_ms,
       last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count, last_seq, attempts)
VALUES (:req, :scope, :state, :is_terminal, :stage, :actor, :source, :message, :data_json,
        :first_event_at_ms, :last_event_at_ms, :state_entered_at_ms, :terminal_at_ms, :event_count,
        :last_seq, :attempts)
    ON CONFLICT (req) DO UPDATE
   SET state = excluded.state,
       is_terminal = excluded.is_terminal,
       stage = excluded.stage,
       actor = excluded.actor,
       source = excluded.source,
       message = excluded.message,
       data_json = excluded.data_json,
       last_event_at_ms = excluded.last_event_at_ms,
       state_entered_at_ms = excluded.state_entered_at_ms,
       terminal_at_ms = excluded.terminal_at_ms,
       event_count = excluded.event_count,
       last_seq = excluded.last_seq,
       attempts = excluded.attempts;

-- name: open :run
-- uses: primary key
-- For the first events that this transaction has written behind a number. What others have written
-- there has its snapshots.
INSERT INTO task_state_snapshot (
       req, scope, state, is_terminal, stage, actor, source, message, data_json, first_event_at_ms,
       last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count, last_seq, attempts)
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json, recorded_at_ms,
       recorded_at_ms, recorded_at_ms, NULL, n, seq, 0
  FROM task_events AS e
 WHERE seq > :after_seq
   AND NOT EXISTS (SELECT 1 FROM task_state_snapshot AS s WHERE s.req = e.req)
 ORDER BY seq;

-- name: drop :run
-- uses: sqlite_autoindex_task_state_snapshot_1
DELETE FROM task_state_snapshot
 WHERE req = :req;

-- name: page :many
-- uses: sqlite_autoindex_task_state_snapshot_1
-- From the cursor on and no further than :limit rows, but for those that a filter leaves out.
-- :states is '' for all, else the states between commas, with one at both ends.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req > :after_req
   AND req >= :from_req
   AND req < :end_req
   AND (scope IS NULL OR scope = :scope)
   AND (CAST(:states AS TEXT) = '' OR :states LIKE '%,' || state || ',%')
   AND (CAST(:is_terminal AS BIGINT) IS NULL OR is_terminal = :is_terminal)
   AND (CAST(:source AS TEXT) IS NULL OR source = :source)
   AND (CAST(:actor AS TEXT) IS NULL OR actor = :actor)
 ORDER BY req
 LIMIT :limit;

-- name: page_in_order :many
-- uses: sqlite_autoindex_task_state_snapshot_1
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE req > :after_req
 ORDER BY req
 LIMIT :limit;

-- name: heard :one
-- uses: sqlite_autoindex_task_state_snapshot_1
SELECT req, is_terminal, last_event_at_ms
  FROM task_state_snapshot
 WHERE req = :req;

-- name: quiet_kept :many
-- uses: idx_task_state_snapshot_kept
-- scans: task_state_snapshot, what the service keeps and has not ended, once for a list
-- What one reader sees of it and was last heard of before the moment of its state, the most overdue
-- first.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE is_terminal = 0
   AND (substr(req, 1, 5) = 'task:' OR substr(req, 1, 7) IN ('system:', 'ticket:'))
   AND (scope IS NULL OR scope = :scope)
   AND last_event_at_ms <= CASE state WHEN 'RECEIVED' THEN CAST(:received_ms AS BIGINT)
                                      WHEN 'QUEUED'   THEN CAST(:queued_ms AS BIGINT)
                                      WHEN 'RUNNING'  THEN CAST(:running_ms AS BIGINT)
                                      WHEN 'BLOCKED'  THEN CAST(:blocked_ms AS BIGINT)
                                      WHEN 'RETRYING' THEN CAST(:retrying_ms AS BIGINT)
                                      WHEN 'STALE'    THEN CAST(:stale_ms AS BIGINT) END
 ORDER BY CASE state WHEN 'RECEIVED' THEN CAST(:received_ms AS BIGINT)
                     WHEN 'QUEUED'   THEN CAST(:queued_ms AS BIGINT)
                     WHEN 'RUNNING'  THEN CAST(:running_ms AS BIGINT)
                     WHEN 'BLOCKED'  THEN CAST(:blocked_ms AS BIGINT)
                     WHEN 'RETRYING' THEN CAST(:retrying_ms AS BIGINT)
                     WHEN 'STALE'    THEN CAST(:stale_ms AS BIGINT) END - last_event_at_ms DESC, req
 LIMIT :limit;

-- name: quiet_watched :many
-- uses: idx_task_state_snapshot_watched
-- The same of all that the watchdog looks at, for everybody or for one reader.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE state = :state
   AND is_terminal = 0
   AND substr(req, 1, 5) <> 'task:' AND substr(req, 1, 7) NOT IN ('system:', 'ticket:')
   AND last_event_at_ms <= :until_ms
   AND (:sees_all = 1 OR scope IS NULL OR scope = :scope)
 ORDER BY last_event_at_ms, req
 LIMIT :limit;

-- name: lasting_watched :many
-- uses: idx_task_state_snapshot_watched
-- Those that have been in a state since then or longer: a walk over all that are in it.
SELECT req, scope, state, is_terminal, stage, actor, source, message, data_json,
       first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
       last_seq, attempts
  FROM task_state_snapshot
 WHERE state = :state
   AND is_terminal = 0
   AND substr(req, 1, 5) <> 'task:' AND substr(req, 1, 7) NOT IN ('system:', 'ticket:')
   AND state_entered_at_ms <= :until_ms
   AND (:sees_all = 1 OR scope IS NULL OR scope = :scope)
 ORDER BY state_entered_at_ms, req
 LIMIT :limit;
