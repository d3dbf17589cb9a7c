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

-- name: open_blocker :value
-- uses: idx_ticket_links_target, sqlite_autoindex_tickets_1
-- One that blocks a ticket by itself. The youngest are looked at first, because of very many the
-- oldest have ended.
SELECT b.id
  FROM ticket_links AS l
  JOIN tickets AS b ON b.id = l.source_ticket_id
 WHERE l.target_ticket_id = :ticket_id
   AND l.type = 'blocks'
   AND b.status NOT IN ('done', 'cancelled')
 ORDER BY l.source_ticket_id DESC
 LIMIT 1;

-- name: dependents_of :many
-- uses: idx_ticket_links_target, sqlite_autoindex_tickets_1
-- Tickets that this one blocks, also by way of those that were called off as its duplicates;
-- the most important first. CROSS JOIN keeps SQLite from beginning with all links.
WITH RECURSIVE same (ticket_id) AS (
    SELECT t.id
      FROM tickets AS t
     WHERE t.id = :ticket_id
     UNION
    SELECT l.source_ticket_id
      FROM same
      JOIN ticket_links AS l
        ON l.target_ticket_id = same.ticket_id AND l.type = 'duplicateOf')
SELECT DISTINCT b.id, b.priority, b.created_at_ms
  FROM same
 CROSS JOIN ticket_links AS l
  JOIN tickets AS b ON b.id = l.target_ticket_id
 WHERE l.source_ticket_id = same.ticket_id
   AND l.type = 'blocks'
   AND b.status IN ('open', 'blocked')
 ORDER BY b.priority DESC, b.created_at_ms, b.id
 LIMIT :limit;

-- name: reaches :value
-- uses: idx_ticket_links_edge
-- Whether links of this type lead from one ticket to another.
WITH RECURSIVE reached (ticket_id) AS (
    SELECT t.id
      FROM tickets AS t
     WHERE t.id = :from_ticket_id
     UNION
    SELECT l.target_ticket_id
      FROM reached
      JOIN ticket_links AS l ON l.source_ticket_id = reached.ticket_id AND l.type = :type)
SELECT 1
  FROM reached
 WHERE ticket_id = :to_ticket_id;

-- name: find :one
-- uses: idx_ticket_links_edge
SELECT id, type, source_ticket_id, target_ticket_id, created_by, created_at_ms
  FROM ticket_links
 WHERE source_ticket_id = :source_ticket_id
   AND target_ticket_id = :target_ticket_id
   AND type = :type;

-- name: duplicated_by :value
-- uses: idx_ticket_links_duplicate
SELECT target_ticket_id
  FROM ticket_links
 WHERE source_ticket_id = :ticket_id
   AND type = 'duplicateOf';

-- name: add :one
-- uses: primary key
INSERT INTO ticket_links (id, workspace_id, type, source_ticket_id, target_ticket_id,
                          created_by, created_at_ms)
VALUES (:id, :workspace_id, :type, :source_ticket_id, :target_ticket_id, :created_by, :now_ms)
RETURNING id, type, source_ticket_id, target_ticket_id, created_by, created_at_ms;

-- name: get :one
-- uses: sqlite_autoindex_ticket_links_1
SELECT id, type, source_ticket_id, target_ticket_id, created_by, created_at_ms
  FROM ticket_links
 WHERE id = :link_id
   AND (source_ticket_id = :ticket_id OR target_ticket_id = :ticket_id);

-- name: delete :run
-- uses: sqlite_autoindex_ticket_links_1
DELETE FROM ticket_links
 WHERE id = :link_id;

-- name: of_ticket :many
-- uses: idx_ticket_links_edge, idx_ticket_links_target
SELECT seq, id, type, source_ticket_id, target_ticket_id, created_by, created_at_ms
  FROM ticket_links
 WHERE (source_ticket_id = :ticket_id OR target_ticket_id = :ticket_id)
   AND seq > :after_seq
 ORDER BY seq
 LIMIT :limit;
