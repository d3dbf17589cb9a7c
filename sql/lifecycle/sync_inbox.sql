-- The inbox: what came from Linear, each delivery once.
--
-- Invariants
--   a delivery is there once, however often Linear sends it.

-- name: add :value
-- uses: primary key
-- No row means that it was there already, which the ledger says first; see delivery_log.sql.
INSERT INTO sync_inbox (workspace_id, delivery_id, source, payload_json, state, attempts,
                        next_attempt_at_ms, outcome, received_at_ms)
VALUES (:workspace_id, :delivery_id, :source, :payload_json, :state, 0, :now_ms, :outcome,
        :now_ms)
    ON CONFLICT (workspace_id, delivery_id) DO NOTHING
RETURNING id;

-- name: due :many
-- uses: idx_sync_inbox_due
SELECT id
  FROM sync_inbox
 WHERE state = 'pending'
   AND next_attempt_at_ms <= :now_ms
 ORDER BY next_attempt_at_ms, id
 LIMIT :limit;

-- name: pending :one
-- uses: idx_sync_inbox_due
-- scans: sync_inbox, what is to be applied, at each scrape
SELECT COUNT(*) AS row_count, MIN(received_at_ms) AS oldest_ms
  FROM sync_inbox
 WHERE state = 'pending';

-- name: take :one
-- uses: primary key
-- Counts the attempt before it is made, so that what breaks a process is not tried for ever.
UPDATE sync_inbox
   SET attempts = attempts + 1,
       next_attempt_at_ms = :next_attempt_at_ms
 WHERE id = :id
   AND state = 'pending'
   AND next_attempt_at_ms <= :now_ms
RETURNING id, workspace_id, delivery_id, source, payload_json, state, attempts,
          next_attempt_at_ms, outcome, received_at_ms;

-- name: end :run
-- uses: primary key
UPDATE sync_inbox
   SET state = :state,
       outcome = :outcome
 WHERE id = :id
   AND state = 'pending';

-- name: put_off :run
-- uses: primary key
UPDATE sync_inbox
   SET next_attempt_at_ms = :next_attempt_at_ms,
       outcome = :outcome
 WHERE id = :id
   AND state = 'pending';

-- name: prune :run
-- uses: idx_sync_inbox_old
DELETE FROM sync_inbox
 WHERE id IN (SELECT id
                FROM sync_inbox
               WHERE state = 'done'
                 AND received_at_ms < :before_ms
               ORDER BY received_at_ms
               LIMIT :limit);
