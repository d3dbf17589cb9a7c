-- Key-value entries: what each database does in its own way.
--
-- Invariants
--   kv_search holds one row for each entry, under its id.
--
-- A search goes by an array of words and not by a tsvector, which would be read by the server's
-- own rules, holds no more than a megabyte, and knows no place beyond the 16383rd word. The index
-- gives the entries that hold every word; whether the words stand together is then looked up in
-- the text, where each word gets spaces of its own, so that phrases can be told and counted by
-- comparing bytes: ' a  b ' is in ' a  a  b ', and twice in ' a  b  a  b '.

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
-- Takes the place of what was indexed for the entry before.
INSERT INTO kv_search (id, text)
VALUES (:id, kv_text(:namespace, :key, :content))
    ON CONFLICT (id) DO UPDATE
   SET text = excluded.text;

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
-- uses: idx_kv_search_words
-- Best first, among equals the oldest entry: BM25 with its usual weights, but for what it would have
-- to know of entries that were not found, which is how rare a word is and how long a text.
WITH phrases AS MATERIALIZED (
    SELECT ' ' || REPLACE(words, ' ', '  ') || ' ' AS phrase
      FROM STRING_TO_TABLE(BTRIM(:match_query, '"'), '" "') AS words
),
counted AS MATERIALIZED (
    SELECT s.id, OCTET_LENGTH(s.text) AS size,
           (SELECT ARRAY_AGG((OCTET_LENGTH(s.text) - OCTET_LENGTH(REPLACE(s.text, phrase, '')))
                             / OCTET_LENGTH(phrase))
              FROM phrases) AS hits
      FROM kv_search AS s
     WHERE s.words @> kv_words(REPLACE(:match_query, '"', ' '))
),
found AS (
    SELECT id, hits, size / AVG(size) OVER () AS relative_size
      FROM counted
     WHERE 0 <> ALL (hits)
)
SELECT id
  FROM found
 ORDER BY (SELECT SUM(hit / (hit + 0.3 + 0.9 * relative_size)) FROM UNNEST(hits) AS hit) DESC,
          id
 LIMIT :limit
OFFSET :offset;

-- name: search_in_namespace :many
-- uses: idx_kv_search_words
-- As kv.search; the namespace is compared exactly, so in the entry. The words come first in any
-- case: of how many entries a namespace has, a prepared plan knows nothing.
WITH matching AS MATERIALIZED (
    SELECT id
      FROM kv_search
     WHERE words @> kv_words(REPLACE(:match_query, '"', ' '))
),
phrases AS MATERIALIZED (
    SELECT ' ' || REPLACE(words, ' ', '  ') || ' ' AS phrase
      FROM STRING_TO_TABLE(BTRIM(:match_query, '"'), '" "') AS words
),
counted AS MATERIALIZED (
    SELECT s.id, OCTET_LENGTH(s.text) AS size,
           (SELECT ARRAY_AGG((OCTET_LENGTH(s.text) - OCTET_LENGTH(REPLACE(s.text, phrase, '')))
                             / OCTET_LENGTH(phrase))
              FROM phrases) AS hits
      FROM matching AS m
      JOIN kv_entries AS e ON e.id = m.id
      JOIN kv_search AS s ON s.id = m.id
     WHERE e.namespace = :namespace
),
found AS (
    SELECT id, hits, size / AVG(size) OVER () AS relative_size
      FROM counted
     WHERE 0 <> ALL (hits)
)
SELECT id
  FROM found
 ORDER BY (SELECT SUM(hit / (hit + 0.3 + 0.9 * relative_size)) FROM UNNEST(hits) AS hit) DESC,
          id
 LIMIT :limit
OFFSET :offset;
