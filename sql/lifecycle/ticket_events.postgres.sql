-- Ticket events: what each database does in its own way.

-- name: extent :one
-- Differs from ticket_events.sql: transactions end in another order than they drew their ids in,
-- so that a reader must stop before the first id that may still come. 21579 is 'TK'.
SELECT newest_id, upto_id
  FROM feed_extent('ticket_events_id_seq', 21579);
