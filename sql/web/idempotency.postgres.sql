-- Idempotency keys: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. Duplicates that come at the same time are done one
-- after the other.
SELECT pg_advisory_xact_lock(4, hashtext(CONCAT_WS(' ', CAST(:principal AS TEXT),
                                                   CAST(:method AS TEXT),
                                                   CAST(:route AS TEXT),
                                                   CAST(:key AS TEXT))));
