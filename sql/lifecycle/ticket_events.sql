-- Ticket events: one row for each fact, written with it and never changed.
--
-- Invariants
--   ids ascend, and no event appears behind a cursor that was handed out.
--   the last TicketStatusChanged of a ticket leads to its status.

-- name: append :value
-- uses: primary key
INSERT INTO ticket_events (workspace_id, ticket_id, type, version, actor, occurred_at_ms,
                           caused_by, data_json)
VALUES (:workspace_id, :ticket_id, :type, :version, :actor, :now_ms, :caused_by, :data_json)
RETURNING id;

-- name: of_ticket :many
-- uses: idx_ticket_events_ticket
SELECT id, workspace_id, ticket_id, type, version, actor, occurred_at_ms, caused_by, data_json
  FROM ticket_events
 WHERE ticket_id = :ticket_id
   AND id > :after_id
   AND (CAST(:types AS TEXT) IS NULL OR CAST(:types AS TEXT) LIKE '%,' || type || ',%')
 ORDER BY id
 LIMIT :limit;

-- name: last_of :value
-- uses: idx_ticket_events_ticket
SELECT MAX(id)
  FROM ticket_events
 WHERE ticket_id = :ticket_id;

-- name: page :many
-- uses: idx_ticket_events_workspace
SELECT id, workspace_id, ticket_id, type, version, actor, occurred_at_ms, caused_by, data_json
  FROM ticket_events
 WHERE workspace_id = :workspace_id
   AND id > :after_id
   AND id <= :upto_id
   AND (CAST(:types AS TEXT) IS NULL OR CAST(:types AS TEXT) LIKE '%,' || type || ',%')
 ORDER BY id
 LIMIT :limit;

-- name: extent :one
-- uses: primary key
-- The newest event there is, up to which nothing can be missing. Asked for in a view of its own,
-- before the one in which events are read.
SELECT COALESCE(MAX(id), 0) AS newest_id, COALESCE(MAX(id), 0) AS upto_id
  FROM ticket_events;

-- name: newest_upto :value
-- uses: primary key
-- The newest event that is there, which is where a cursor may stand: an id that was drawn for
-- nothing may be drawn again after a crash.
SELECT COALESCE(MAX(id), 0) AS id
  FROM ticket_events
 WHERE id <= :upto_id;

-- name: page_of_ticket :many
-- uses: idx_ticket_events_ticket
SELECT id, workspace_id, ticket_id, type, version, actor, occurred_at_ms, caused_by, data_json
  FROM ticket_events
 WHERE ticket_id = :ticket_id
   AND id > :after_id
   AND id <= :upto_id
   AND (CAST(:types AS TEXT) IS NULL OR CAST(:types AS TEXT) LIKE '%,' || type || ',%')
 ORDER BY id
 LIMIT :limit;
