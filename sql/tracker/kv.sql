-- Key-value entries: one JSON value for each namespace and key.
--
-- Invariants
--   namespace and key are not empty; no entry is in the namespace 'search'.
--   a key never has the same version twice: a new entry starts above every version that was
--   ever deleted (mark kv_deleted_version).
--   kv_search holds one row for each entry, under its id.

-- name: get :one
-- uses: sqlite_autoindex_kv_entries_1
SELECT id, namespace, key, value_json, version, created_at_ms, updated_at_ms
  FROM kv_entries
 WHERE namespace = :namespace
   AND key = :key;

-- name: version_of :value
-- uses: sqlite_autoindex_kv_entries_1
SELECT version
  FROM kv_entries
 WHERE namespace = :namespace
   AND key = :key;

-- name: put :one
-- uses: primary key
-- created_at_ms of an entry that is there stays; :first_version is for a new one.
INSERT INTO kv_entries (namespace, key, value_json, version, created_at_ms, updated_at_ms)
VALUES (:namespace, :key, :value_json, :first_version, :now_ms, :now_ms)
    ON CONFLICT (namespace, key) DO UPDATE
   SET value_json = excluded.value_json,
       version = kv_entries.version + 1,
       updated_at_ms = excluded.updated_at_ms
RETURNING id, version;

-- name: delete :one
-- uses: sqlite_autoindex_kv_entries_1
-- No row means that there was none.
DELETE FROM kv_entries
 WHERE namespace = :namespace
   AND key = :key
RETURNING id, version;

-- name: extent :one
-- uses: sqlite_autoindex_kv_entries_1
-- How much a namespace holds, and the highest version in it.
SELECT COUNT(*) AS entry_count, MAX(version) AS newest_version
  FROM kv_entries
 WHERE namespace = :namespace;

-- name: delete_namespace :run
-- uses: sqlite_autoindex_kv_entries_1
DELETE FROM kv_entries
 WHERE namespace = :namespace;

-- name: page :many
-- uses: sqlite_autoindex_kv_entries_1
SELECT namespace, key, value_json, version, created_at_ms, updated_at_ms
  FROM kv_entries
 WHERE namespace = :namespace
   AND key >= :from_key
 ORDER BY key
 LIMIT :limit;

-- name: page_in_range :many
-- uses: sqlite_autoindex_kv_entries_1
-- Keys with a prefix are a range, whose end is not part of it.
SELECT namespace, key, value_json, version, created_at_ms, updated_at_ms
  FROM kv_entries
 WHERE namespace = :namespace
   AND key >= :from_key
   AND key < :end_key
 ORDER BY key
 LIMIT :limit;

-- name: by_id :one
-- uses: primary key
SELECT namespace, key, value_json, version, created_at_ms, updated_at_ms
  FROM kv_entries
 WHERE id = :id;

-- name: page_by_id :many
-- uses: primary key
-- For a rebuild of the search index.
SELECT id, namespace, key, value_json
  FROM kv_entries
 WHERE id > :after_id
 ORDER BY id
 LIMIT :limit;
