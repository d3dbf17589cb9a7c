-- Idempotency keys: the answer that a repeated write gets again.
--
-- Invariants
--   a row is written in the transaction of the work that it answers.
--   only 2xx answers are kept, and never a lease token.

-- name: find :one
-- uses: primary key
SELECT request_hash, response_status, response_json, response_headers_json
  FROM idempotency_keys
 WHERE principal = :principal
   AND key = :key
   AND method = :method
   AND route = :route
   AND created_at_ms > :created_after_ms;

-- name: record :run
-- uses: primary key
-- A row that is past its retention, but not pruned yet, gives way to the new one.
INSERT INTO idempotency_keys (principal, key, method, route, request_hash, response_status,
                              response_json, created_at_ms, response_headers_json)
VALUES (:principal, :key, :method, :route, :request_hash, :response_status,
        :response_json, :created_at_ms, :response_headers_json)
    ON CONFLICT (principal, key, method, route) DO UPDATE
   SET request_hash = excluded.request_hash,
       response_status = excluded.response_status,
       response_json = excluded.response_json,
       created_at_ms = excluded.created_at_ms,
       response_headers_json = excluded.response_headers_json;

-- name: prune :run
-- uses: idx_idempotency_keys_created
-- At most :limit rows, the oldest first, so that no transaction is long.
DELETE FROM idempotency_keys
 WHERE (principal, key, method, route) IN (
       SELECT principal, key, method, route
         FROM idempotency_keys
        WHERE created_at_ms <= :created_until_ms
        ORDER BY created_at_ms
        LIMIT :limit);
