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
