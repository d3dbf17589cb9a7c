-- Collaborators: who has a part in a ticket besides its assignee.

-- name: add :one
-- uses: primary key
-- No row where they have it already.
INSERT INTO ticket_collaborators (ticket_id, collaborator_id, role, added_by, added_at_ms)
VALUES (:ticket_id, :collaborator_id, :role, :added_by, :now_ms)
    ON CONFLICT (ticket_id, collaborator_id) DO NOTHING
RETURNING collaborator_id, role, added_by, added_at_ms;

-- name: get :one
-- uses: idx_ticket_collaborators_id
SELECT collaborator_id, role, added_by, added_at_ms
  FROM ticket_collaborators
 WHERE ticket_id = :ticket_id
   AND collaborator_id = :collaborator_id;

-- name: of_ticket :many
-- uses: idx_ticket_collaborators_id
SELECT seq, collaborator_id, role, added_by, added_at_ms
  FROM ticket_collaborators
 WHERE ticket_id = :ticket_id
   AND seq > :after_seq
 ORDER BY seq
 LIMIT :limit;

-- name: remove :run
-- uses: idx_ticket_collaborators_id
DELETE FROM ticket_collaborators
 WHERE ticket_id = :ticket_id
   AND collaborator_id = :collaborator_id;
