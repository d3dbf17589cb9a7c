-- Deliveries: what PostgreSQL does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. Those who decide on one key, or on messages about one
-- req, do so one after the other.
SELECT pg_advisory_xact_lock(7, hashtext(CONCAT_WS(' ', CAST(:channel AS TEXT),
                                                   CAST(:about AS TEXT))));
