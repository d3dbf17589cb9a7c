-- Key-value entries: what each database does in its own way.
--
-- Invariants
--   kv_search holds one row for each entry, under its id.

-- name: lock :run
-- PostgreSQL only: several write at once. One key has one writer, also where it has no entry
-- yet, and a namespace that is deleted has none.
SELECT pg_advisory_xact_lock_shared(5, hashtext(:namespace)),
       pg_advisory_xact_lock(6, hashtext(CONCAT_WS(' ', CAST(:namespace AS TEXT),
                                                   CAST(:key AS TEXT))));

-- name: lock_namespace :run
-- PostgreSQL only: several write at once.
SELECT pg_advisory_xact_lock(5, hashtext(:namespace));

-- name: index :run
-- uses: kv_search_pkey
-- A table of its own kind in each database. Takes the place of what was indexed for the entry before.
INSERT INTO kv_search (id, namespace, key, content)
VALUES (:id, :namespace, :key, :content)
    ON CONFLICT (id) DO UPDATE
   SET namespace = excluded.namespace,
       key = excluded.key,
       content = excluded.content;

-- name: unindex :run
-- uses: kv_search_pkey
-- A table of its own kind in each database.
DELETE FROM kv_search
 WHERE id = :id;

-- name: unindex_namespace :run
-- uses: kv_search_pkey
-- Runs before the entries go.
DELETE FROM kv_search
 WHERE id IN (SELECT id
                FROM kv_entries
               WHERE namespace = :namespace);

-- name: unindex_range :run
-- uses: kv_search_pkey
-- A table of its own kind in each database.
DELETE FROM kv_search
 WHERE id > :after_id
   AND id <= :upto_id;

-- name: search :many
-- scans: kv_search, there is no index of words yet
-- Each quoted phrase of :match_query has to stand in one of the three texts, at the bounds of
-- words. The oldest entry first.
SELECT s.id
  FROM kv_search AS s
 WHERE NOT EXISTS (
       SELECT 1
         FROM regexp_split_to_table(BTRIM(:match_query, '"'), '" "') AS phrase
        WHERE STRPOS(' ' || s.namespace || ' ', ' ' || phrase || ' ') = 0
          AND STRPOS(' ' || s.key || ' ', ' ' || phrase || ' ') = 0
          AND STRPOS(' ' || REPLACE(s.content, E'\n', ' ') || ' ', ' ' || phrase || ' ') = 0)
 ORDER BY s.id
 LIMIT :limit
OFFSET :offset;

-- name: search_in_namespace :many
-- scans: kv_search, there is no index of words yet
-- As kv.search; the namespace is compared exactly, so in the entry.
SELECT s.id
  FROM kv_search AS s
  JOIN kv_entries AS e ON e.id = s.id
 WHERE e.namespace = :namespace
   AND NOT EXISTS (
       SELECT 1
         FROM regexp_split_to_table(BTRIM(:match_query, '"'), '" "') AS phrase
        WHERE STRPOS(' ' || s.namespace || ' ', ' ' || phrase || ' ') = 0
          AND STRPOS(' ' || s.key || ' ', ' ' || phrase || ' ') = 0
          AND STRPOS(' ' || REPLACE(s.content, E'\n', ' ') || ' ', ' ' || phrase || ' ') = 0)
 ORDER BY s.id
 LIMIT :limit
OFFSET :offset;
