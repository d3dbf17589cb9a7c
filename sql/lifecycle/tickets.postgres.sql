-- Tickets: what each database does in its own way.

-- name: lock_task :run
-- PostgreSQL only: several write at once. The tracker locks a task before its manager hears of
-- it, so whoever changes the ticket has the task first, too. This names a table of the tracker's:
-- it would be one statement more to ask it.
SELECT 1
  FROM tasks
 WHERE id = (SELECT d.task_id
               FROM ticket_dispatches AS d
              WHERE d.ticket_id = :ticket_id
                AND d.ended_at_ms IS NULL)
   FOR NO KEY UPDATE;

-- name: lock :run
-- PostgreSQL only: several write at once. Before all locks of a request about one ticket
-- but that of its task.
SELECT 1
  FROM tickets
 WHERE id = :ticket_id
   AND workspace_id = :workspace_id
   FOR NO KEY UPDATE;
