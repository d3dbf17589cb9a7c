-- Links: what each database does in its own way.

-- name: lock :run
-- PostgreSQL only: several write at once. New links and parents of a workspace come one after the
-- other, or two of them together could close a circle.
SELECT pg_advisory_xact_lock(9, hashtext(CAST(:workspace_id AS TEXT)));

-- name: blockers_of_each :many
-- uses: idx_ticket_links_target, idx_ticket_links_duplicate
-- As ticket_links.blockers_of, of the tickets in :ids_json (a JSON array).
WITH RECURSIVE blocking (blocked_id, ticket_id) AS (
    SELECT l.target_ticket_id, l.source_ticket_id
      FROM ticket_links AS l
     WHERE l.target_ticket_id IN (SELECT json_array_elements_text(CAST(:ids_json AS JSON)) COLLATE "C")
       AND l.type = 'blocks'
     UNION
    SELECT blocking.blocked_id, l.target_ticket_id
      FROM blocking
      JOIN tickets AS c ON c.id = blocking.ticket_id AND c.status = 'cancelled'
      JOIN ticket_links AS l ON l.source_ticket_id = c.id AND l.type = 'duplicateOf')
SELECT blocking.blocked_id, b.id
  FROM blocking
  JOIN tickets AS b ON b.id = blocking.ticket_id
 WHERE b.status NOT IN ('done', 'cancelled')
 ORDER BY blocking.blocked_id, b.id;
