-- Task events: the ledger's append-only log.
--
-- Invariants
--   n of a req is 1, 2, 3 … without gaps, and ascends with seq.
--   a req has at most one terminal event, and none after it.
--   the scope of a req is that of its first event.

-- name: append :value
-- uses: primary key
INSERT INTO task_events (req, n, state, previous_state, is_terminal, actor, source, stage, message,
                         data_json, event_id, scope, ts_ms, recorded_at_ms)
VALUES (:req, :n, :state, :previous_state, :is_terminal, :actor, :source, :stage, :message,
        :data_json, :event_id, :scope, :ts_ms, :recorded_at_ms)
RETURNING seq;

-- name: open :run
-- uses: primary key
-- The first event of a req, whose number nobody asks for. Their snapshots are made all at once.
INSERT INTO task_events (req, n, state, is_terminal, actor, source, stage, message, data_json,
                         event_id, scope, recorded_at_ms)
VALUES (:req, 1, :state, 0, :actor, :source, :stage, :message, :data_json, :event_id, :scope,
        :recorded_at_ms);

-- name: newest :value
-- uses: primary key
SELECT COALESCE(MAX(seq), 0)
  FROM task_events;

-- name: by_event_id :one
-- uses: idx_task_events_event_id
-- Of what clients report.
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE event_id = :event_id
   AND substr(req, 1, 5) <> 'task:' AND substr(req, 1, 7) NOT IN ('system:', 'ticket:');

-- name: is_told :value
-- uses: sqlite_autoindex_task_events_1
-- Of what the service itself reports: whether this is one of the last hundred events of the req.
SELECT 1
  FROM task_events
 WHERE req = :req
   AND n > :last_n - 100
   AND event_id = :event_id
   AND state = :state;

-- name: page :many
-- uses: primary key
-- The log as one reader sees it.
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE seq > :after_seq
   AND seq <= :upto_seq
   AND (scope IS NULL OR scope = :scope)
 ORDER BY seq
 LIMIT :limit;

-- name: page_of_req :many
-- uses: sqlite_autoindex_task_events_1
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE req = :req
   AND n > :after_n
 ORDER BY n
 LIMIT :limit;

-- name: page_in_order :many
-- uses: sqlite_autoindex_task_events_1
-- All events, each req's together.
SELECT seq, req, n, state, previous_state, is_terminal, actor, source, stage, message, data_json,
       event_id, scope, ts_ms, recorded_at_ms
  FROM task_events
 WHERE (req, n) > (:after_req, :after_n)
 ORDER BY req, n
 LIMIT :limit;

-- name: extent :one
-- uses: primary key
-- The newest number there is, and the one up to which no event can be missing. Asked for in a view
-- of its own, before the one in which events are read.
SELECT COALESCE(MAX(seq), 0) AS newest_seq, COALESCE(MAX(seq), 0) AS upto_seq
  FROM task_events;

-- name: newest_upto :value
-- uses: primary key
-- The newest event that is there, which is where a cursor may stand.
SELECT COALESCE(MAX(seq), 0) AS seq
  FROM task_events
 WHERE seq <= :upto_seq;
