-- Channels: the conversation about a ticket, and who is in it.

-- name: create :run
-- uses: primary key
INSERT INTO ticket_channels (id, workspace_id, ticket_id, created_at_ms)
VALUES (:id, :workspace_id, :ticket_id, :now_ms);

-- name: join_in :run
-- uses: primary key
-- Who is there already stays as they are.
INSERT INTO ticket_participants (channel_id, participant_id, role, joined_at_ms)
VALUES (:channel_id, :participant_id, :role, :now_ms)
    ON CONFLICT (channel_id, participant_id) DO NOTHING;

-- name: join_collaborators :run
-- uses: idx_ticket_collaborators_id, idx_ticket_participants_id
-- Those of a ticket's collaborators who are not there yet, in the order in which they came.
INSERT INTO ticket_participants (channel_id, participant_id, role, joined_at_ms)
SELECT CAST(:channel_id AS TEXT), c.collaborator_id, c.role, CAST(:now_ms AS BIGINT)
  FROM ticket_collaborators AS c
 WHERE c.ticket_id = :ticket_id
   AND NOT EXISTS (SELECT 1
                     FROM ticket_participants AS p
                    WHERE p.channel_id = :channel_id
                      AND p.participant_id = c.collaborator_id)
 ORDER BY c.seq
 LIMIT :limit;

-- name: participants :many
-- uses: idx_ticket_participants_id
SELECT participant_id, role, joined_at_ms
  FROM ticket_participants
 WHERE channel_id = :channel_id
 ORDER BY seq;
