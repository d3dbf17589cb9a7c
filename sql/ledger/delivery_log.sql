-- Deliveries: a row for each message that was let through.
--
-- Invariants
--   a row with the status recorded counts, one with the status failed does not.

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
-- uses: primary key
UPDATE delivery_log
   SET status = 'failed'
 WHERE id = :delivery_id
RETURNING id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
          suppressed_count, last_suppressed_at_ms;

-- name: page :many
-- uses: primary key
-- From the cursor on and no further than :limit rows, but for those that a filter leaves out.
SELECT id, channel, dedupe_key, req, state, payload_hash, cooldown_ms, status, delivered_at_ms,
       suppressed_count, last_suppressed_at_ms
  FROM delivery_log
 WHERE id > :after_id
   AND (CAST(:channel AS TEXT) IS NULL OR channel = :channel)
   AND (CAST(:req AS TEXT) IS NULL OR req = :req)
 ORDER BY id
 LIMIT :limit;
