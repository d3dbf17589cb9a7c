-- Tickets: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. First of all locks of a request about one ticket.
SELECT 1
  FROM tickets
 WHERE id = :ticket_id
   AND workspace_id = :workspace_id
   FOR NO KEY UPDATE;
