-- Links between tickets, and what follows from them.
--
-- Invariants
--   blocks and duplicateOf close no circle; a relatesTo link is there in one direction only.
--   a ticket blocks another while it has neither ended well nor been called off; one that was
--   called off as a duplicate blocks as the ticket does that it duplicates.

-- name: blockers_of :many
-- uses: idx_ticket_links_target, idx_ticket_links_duplicate
WITH RECURSIVE blocking (ticket_id) AS (
    SELECT l.source_ticket_id
      FROM ticket_links AS l
     WHERE l.target_ticket_id = :ticket_id
       AND l.type = 'blocks'
     UNION
    SELECT l.target_ticket_id
      FROM blocking
      JOIN tickets AS c ON c.id = blocking.ticket_id AND c.status = 'cancelled'
      JOIN ticket_links AS l ON l.source_ticket_id = c.id AND l.type = 'duplicateOf')
SELECT b.id
  FROM blocking
  JOIN tickets AS b ON b.id = blocking.ticket_id
 WHERE b.status NOT IN ('done', 'cancelled')
 ORDER BY b.id;
