-- Search over key-value entries with FTS5: every statement that touches kv_search.
--
-- FTS5 is asked by rowid (the entry's id) or by MATCH; its plan calls either a scan of the
-- virtual table and shows the way in behind it ("=", "><", "M").

-- name: index :run
-- uses: primary key
-- SQLite only: FTS5. Takes the place of what was indexed for the entry before.
INSERT OR REPLACE INTO kv_search (rowid, namespace, key, content)
VALUES (:id, :namespace, :key, :content);

-- name: unindex :run
-- uses: kv_search VIRTUAL TABLE INDEX 0:=
-- SQLite only: FTS5.
DELETE FROM kv_search
 WHERE rowid = :id;

-- name: unindex_namespace :run
-- uses: kv_search VIRTUAL TABLE INDEX 0:=, sqlite_autoindex_kv_entries_1
-- SQLite only: FTS5. Runs before the entries go.
DELETE FROM kv_search
 WHERE rowid IN (SELECT id
                   FROM kv_entries
                  WHERE namespace = :namespace);

-- name: unindex_range :run
-- uses: kv_search VIRTUAL TABLE INDEX 0:><
-- SQLite only: FTS5.
DELETE FROM kv_search
 WHERE rowid > :after_id
   AND rowid <= :upto_id;

-- name: search :many
-- uses: kv_search VIRTUAL TABLE INDEX 0:M
-- SQLite only: FTS5. Best first; among equals the oldest entry.
SELECT rowid AS id
  FROM kv_search
 WHERE kv_search MATCH :match_query
 ORDER BY rank, rowid
 LIMIT :limit
OFFSET :offset;

-- name: search_in_namespace :many
-- uses: kv_search VIRTUAL TABLE INDEX 0:M
-- SQLite only: FTS5. The namespace is compared exactly, so in the entry and not in the index.
SELECT e.id
  FROM kv_search
  JOIN kv_entries AS e ON e.id = kv_search.rowid
 WHERE kv_search MATCH :match_query
   AND e.namespace = :namespace
 ORDER BY kv_search.rank, e.id
 LIMIT :limit
OFFSET :offset;
