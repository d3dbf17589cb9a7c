-- Dependencies: what each database does in its own way.

-- name: lock_graph :run
-- PostgreSQL only: several write at once. Two edges that close a cycle together are each
-- harmless alone, so whoever looks for cycles does it alone.
SELECT pg_advisory_xact_lock(3, 0);

-- name: release_of :one
-- Differs from dependencies.sql: a step of the release that is under way is waited for, since it
-- moves after_seq.
SELECT task_id, after_seq, upto_seq
  FROM dependency_releases
 WHERE task_id = :task_id
   FOR UPDATE;

-- name: releases :many
-- scans: dependency_releases, it is empty but for tasks with hundreds of dependents
-- Differs from dependencies.sql: a release that somebody else continues is left to that one.
SELECT task_id, after_seq, upto_seq
  FROM dependency_releases
 LIMIT 1
   FOR UPDATE SKIP LOCKED;

-- name: dependents :many
-- uses: idx_task_dependencies_target
-- Differs from dependencies.sql, as newest_seq does.
SELECT seq, task_id
  FROM task_dependencies
 WHERE depends_on_task_id BETWEEN :task_id AND :task_id
   AND seq > :after_seq
   AND seq <= :upto_seq
 ORDER BY depends_on_task_id, seq
 LIMIT :limit;

-- name: newest_seq :value
-- uses: idx_task_dependencies_target
-- Differs from dependencies.sql: where many edges have one target, the planner would look for those
-- of another among all of them, from the end of the table. With a range, only this index is in order.
SELECT seq
  FROM task_dependencies
 WHERE depends_on_task_id BETWEEN :task_id AND :task_id
 ORDER BY depends_on_task_id DESC, seq DESC
 LIMIT 1;
