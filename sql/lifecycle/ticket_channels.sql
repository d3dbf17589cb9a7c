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

-- name: participants :many
-- uses: idx_ticket_participants_id
SELECT participant_id, role, joined_at_ms
  FROM ticket_participants
 WHERE channel_id = :channel_id
 ORDER BY seq;
