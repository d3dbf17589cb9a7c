-- Comments: messages about a ticket, in the order in which they came. They never change.

-- name: add :one
-- uses: primary key
INSERT INTO ticket_comments (id, ticket_id, channel_id, author, kind, body, parent_comment_id,
                             external_id, created_at_ms)
VALUES (:id, :ticket_id, :channel_id, :author, :kind, :body, :parent_comment_id, :external_id,
        :now_ms)
RETURNING id, ticket_id, channel_id, author, kind, body, parent_comment_id, external_id,
          created_at_ms;

-- name: is_known :value
-- uses: sqlite_autoindex_ticket_comments_1, idx_ticket_comments_external
-- A comment of ours has the same id in Linear.
SELECT 1
  FROM ticket_comments
 WHERE id = :external_id
    OR external_id = :external_id
 LIMIT 1;

-- name: is_said :value
-- uses: idx_ticket_comments_ticket
SELECT 1
  FROM ticket_comments
 WHERE ticket_id = :ticket_id
   AND kind = 'system'
   AND body = :body
 LIMIT 1;

-- name: ticket_of :value
-- uses: sqlite_autoindex_ticket_comments_1
SELECT ticket_id
  FROM ticket_comments
 WHERE id = :comment_id;

-- name: of_ticket :many
-- uses: idx_ticket_comments_ticket
SELECT seq, id, ticket_id, channel_id, author, kind, body, parent_comment_id, external_id,
       created_at_ms
  FROM ticket_comments
 WHERE ticket_id = :ticket_id
   AND seq > :after_seq
 ORDER BY seq
 LIMIT :limit;
