-- What lists of tickets ask for and no column holds: where the work stands, as rows.ticket shows it,
-- and whether something blocks. A statement that does not ask for them does not pay for them.

CREATE VIEW ticket_overview AS
SELECT t.*,
       CASE WHEN t.status = 'blocked' AND t.dispatch_state <> 'external'
                 AND (t.assigned_agent_id IS NOT NULL OR t.assigned_team_id IS NOT NULL)
            THEN 'held'
            WHEN t.dispatch_state = 'dispatched'
            THEN (SELECT d.state
                    FROM ticket_dispatches AS d
                   WHERE d.ticket_id = t.id
                     AND d.generation = t.generation)
            ELSE t.dispatch_state END AS shown_dispatch_state,
       CASE WHEN EXISTS (
                WITH RECURSIVE blocking (ticket_id) AS (
                    SELECT l.source_ticket_id
                      FROM ticket_links AS l
                     WHERE l.target_ticket_id = t.id AND l.type = 'blocks'
                     UNION
                    SELECT l.target_ticket_id
                      FROM blocking
                      JOIN tickets AS c ON c.id = blocking.ticket_id AND c.status = 'cancelled'
                      JOIN ticket_links AS l
                        ON l.source_ticket_id = c.id AND l.type = 'duplicateOf')
                SELECT 1
                  FROM blocking
                  JOIN tickets AS b ON b.id = blocking.ticket_id
                 WHERE b.status NOT IN ('done', 'cancelled')) THEN 1 ELSE 0 END AS is_blocked
  FROM tickets AS t;
