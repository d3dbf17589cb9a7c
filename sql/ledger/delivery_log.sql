-- Deliveries: a row for each message that was let through.
--
-- Invariants
--   a row with the status recorded counts, one with the status failed does not;
--   a message about a req of a workspace is shown where that req is;
--   keys in a channel of the service's own begin with the workspace that they belong to.

-- name: add :value
-- uses: primary key
INSERT INTO delivery_log (channel, dedupe_key, req, state, payload_hash, cooldown_ms, status,
                          delivered_at_ms, suppressed_count, last_suppressed_at_ms)
VALUES (:channel, :dedupe_key, :req, :state, :payload_hash, :cooldown_ms, :status,
        :delivered_at_ms, :suppressed_count, :last_suppressed_at_ms)
RETURNING id;

-- name: last :one
-- uses: idx_delivery_log_key
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE channel = :channel
   AND dedupe_key = :key
   AND status = 'recorded'
 ORDER BY id DESC
 LIMIT 1;

-- name: last_of_req :one
-- uses: idx_delivery_log_req
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE channel = :channel
   AND req = :req
   AND status = 'recorded'
 ORDER BY id DESC
 LIMIT 1;

-- name: count_suppressed :run
-- uses: primary key
UPDATE delivery_log
   SET suppressed_count = suppressed_count + 1,
       last_suppressed_at_ms = :now_ms
 WHERE id = :delivery_id;

-- name: fail :one
-- uses: primary key, sqlite_autoindex_task_state_snapshot_1
UPDATE delivery_log
   SET status = 'failed'
 WHERE id = :delivery_id
   AND NOT EXISTS (SELECT 1
                     FROM task_state_snapshot AS s
                    WHERE s.req = delivery_log.req
                      AND s.scope IS NOT NULL
                      AND (CAST(:scope AS TEXT) IS NULL OR s.scope <> :scope))
RETURNING id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
          suppressed_count, last_suppressed_at_ms;

-- name: page :many
-- uses: primary key, sqlite_autoindex_task_state_snapshot_1
-- From the cursor on and no further than :limit rows, but for those that a filter leaves out.
-- What the service delivered itself is there for the workspace that it was for.
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE id > :after_id
   AND (CAST(:channel AS TEXT) IS NULL OR channel = :channel)
   AND (CAST(:req AS TEXT) IS NULL OR req = :req)
   AND (substr(channel, 1, 7) NOT IN ('linear-', 'system-')
        OR substr(dedupe_key, 1, length(CAST(:scope AS TEXT)) + 1) = CAST(:scope AS TEXT) || ':')
   AND NOT EXISTS (SELECT 1
                     FROM task_state_snapshot AS s
                    WHERE s.req = delivery_log.req
                      AND s.scope IS NOT NULL
                      AND (CAST(:scope AS TEXT) IS NULL OR s.scope <> :scope))
 ORDER BY id
 LIMIT :limit;

-- name: forget_linear :run
-- uses: idx_delivery_log_linear
DELETE FROM delivery_log
 WHERE id IN (SELECT id
                FROM delivery_log
               WHERE substr(channel, 1, 7) = 'linear-'
                 AND delivered_at_ms < :before_ms
               ORDER BY delivered_at_ms
               LIMIT :limit);
