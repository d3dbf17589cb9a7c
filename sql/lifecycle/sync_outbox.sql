-- The outbox: what is to be sent to Linear, in the order of each ticket.
--
-- Invariants
--   a row was written in the transaction of the change that it tells of.
--   of the rows of a ticket at most one is in flight, and it is the first open one.
--   a row in flight past its time was lost with its process, and is sent again: what it makes
--   in Linear has an id that was chosen before.

-- name: add :value
-- uses: primary key
INSERT INTO sync_outbox (workspace_id, ticket_id, op, payload_json, state, attempts,
                         next_attempt_at_ms, created_at_ms, updated_at_ms)
VALUES (:workspace_id, :ticket_id, :op, :payload_json, 'pending', 0, :now_ms, :now_ms, :now_ms)
RETURNING id;

-- name: open_of_ticket :many
-- uses: idx_sync_outbox_open
SELECT id, workspace_id, ticket_id, op, payload_json, state, attempts, next_attempt_at_ms,
       last_error, created_at_ms, updated_at_ms
  FROM sync_outbox
 WHERE ticket_id = :ticket_id
   AND state IN ('pending', 'inflight')
 ORDER BY id;

-- name: dead_of_ticket :many
-- uses: idx_sync_outbox_dead
SELECT id, workspace_id, ticket_id, op, payload_json, state, attempts, next_attempt_at_ms,
       last_error, created_at_ms, updated_at_ms
  FROM sync_outbox
 WHERE ticket_id = :ticket_id
   AND state = 'dead'
 ORDER BY id;

-- name: rewrite :run
-- uses: primary key
UPDATE sync_outbox
   SET payload_json = :payload_json,
       updated_at_ms = :now_ms
 WHERE id = :id
   AND state IN ('pending', 'dead');

-- name: due :many
-- uses: idx_sync_outbox_due, idx_sync_outbox_open
-- The first open row of each ticket, where neither ticket nor workspace is paused.
SELECT o.id, o.ticket_id, o.workspace_id
  FROM sync_outbox AS o
  JOIN integrations_linear AS i
    ON i.workspace_id = o.workspace_id
   AND i.enabled = 1
   AND i.status = 'ok'
   AND i.limited_until_ms <= :now_ms
  JOIN sync_shadow AS s
    ON s.ticket_id = o.ticket_id
   AND s.paused_until_ms <= :now_ms
 WHERE o.state IN ('pending', 'inflight')
   AND o.next_attempt_at_ms <= :now_ms
   AND NOT EXISTS (SELECT 1
                     FROM sync_outbox AS e
                    WHERE e.ticket_id = o.ticket_id
                      AND e.state IN ('pending', 'inflight')
                      AND e.id < o.id)
 ORDER BY o.next_attempt_at_ms, o.id
 LIMIT :limit;

-- name: take :one
-- uses: primary key
-- No row means that another process was first.
UPDATE sync_outbox
   SET state = 'inflight',
       next_attempt_at_ms = :lost_at_ms,
       updated_at_ms = :now_ms
 WHERE id = :id
   AND state IN ('pending', 'inflight')
   AND next_attempt_at_ms <= :now_ms
RETURNING id, workspace_id, ticket_id, op, payload_json, state, attempts, next_attempt_at_ms,
          last_error, created_at_ms, updated_at_ms;

-- name: end :run
-- uses: primary key
-- Only what is in flight since the time at which it was taken.
UPDATE sync_outbox
   SET state = :state,
       attempts = :attempts,
       next_attempt_at_ms = :next_attempt_at_ms,
       last_error = :last_error,
       updated_at_ms = :now_ms
 WHERE id = :id
   AND state = 'inflight'
   AND next_attempt_at_ms = :lost_at_ms;

-- name: supersede :run
-- uses: primary key
UPDATE sync_outbox
   SET state = 'done',
       last_error = 'superseded by a later change',
       updated_at_ms = :now_ms
 WHERE id = :id
   AND state IN ('pending', 'dead');

-- name: revive :run
-- uses: idx_sync_outbox_dead
UPDATE sync_outbox
   SET state = 'pending',
       attempts = 0,
       next_attempt_at_ms = :now_ms,
       updated_at_ms = :now_ms
 WHERE ticket_id = :ticket_id
   AND state = 'dead';

-- name: hurry :run
-- uses: idx_sync_outbox_open
-- Said twice, because the index knows both states only.
UPDATE sync_outbox
   SET next_attempt_at_ms = :now_ms
 WHERE ticket_id = :ticket_id
   AND state IN ('pending', 'inflight')
   AND state <> 'inflight'
   AND next_attempt_at_ms > :now_ms;

-- name: give_up_ticket :run
-- uses: idx_sync_outbox_open
UPDATE sync_outbox
   SET state = 'dead',
       last_error = :last_error,
       updated_at_ms = :now_ms
 WHERE ticket_id = :ticket_id
   AND state IN ('pending', 'inflight');

-- name: give_up_workspace :run
-- uses: idx_sync_outbox_state
UPDATE sync_outbox
   SET state = 'dead',
       last_error = :last_error,
       updated_at_ms = :now_ms
 WHERE workspace_id = :workspace_id
   AND state IN ('pending', 'inflight');

-- name: sent_since :many
-- uses: idx_sync_outbox_done
SELECT updated_at_ms
  FROM sync_outbox
 WHERE ticket_id = :ticket_id
   AND state = 'done'
   AND last_error IS NULL
   AND updated_at_ms > :since_ms
 ORDER BY updated_at_ms;

-- name: has_open_create :value
-- uses: idx_sync_outbox_open
SELECT 1
  FROM sync_outbox
 WHERE ticket_id = :ticket_id
   AND state IN ('pending', 'inflight')
   AND op = 'issue_create'
 LIMIT 1;

-- name: counts :many
-- uses: idx_sync_outbox_state
SELECT state, COUNT(*) AS row_count
  FROM sync_outbox
 WHERE workspace_id = :workspace_id
   AND state IN ('pending', 'inflight', 'dead')
 GROUP BY state;

-- name: pending :one
-- uses: idx_sync_outbox_due
-- scans: sync_outbox, what is to be sent, at each scrape
-- Of all workspaces, also of those whose queue is paused.
SELECT COUNT(*) AS row_count, MIN(created_at_ms) AS oldest_ms
  FROM sync_outbox
 WHERE state IN ('pending', 'inflight');

-- name: dead_count :value
-- uses: idx_sync_outbox_dead
-- Every row has a ticket; said, SQLite does not walk through what was sent as well.
SELECT COUNT(*)
  FROM sync_outbox
 WHERE state = 'dead'
   AND ticket_id > '';

-- name: page :many
-- uses: idx_sync_outbox_workspace
SELECT id, workspace_id, ticket_id, op, payload_json, state, attempts, next_attempt_at_ms,
       last_error, created_at_ms, updated_at_ms
  FROM sync_outbox
 WHERE workspace_id = :workspace_id
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: page_by_state :many
-- uses: idx_sync_outbox_state
SELECT id, workspace_id, ticket_id, op, payload_json, state, attempts, next_attempt_at_ms,
       last_error, created_at_ms, updated_at_ms
  FROM sync_outbox
 WHERE workspace_id = :workspace_id
   AND state = :state
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: prune :run
-- uses: idx_sync_outbox_old
DELETE FROM sync_outbox
 WHERE id IN (SELECT id
                FROM sync_outbox
               WHERE state = 'done'
                 AND updated_at_ms < :before_ms
               ORDER BY updated_at_ms
               LIMIT :limit);
