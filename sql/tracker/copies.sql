-- Copies of a whole database: what is not copied, because it follows from what is.

-- name: count_tasks :run
-- scans: tasks, all of which have just come in
-- Into an empty table; triggers keep it from then on.
INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count, failed_run_count)
SELECT COALESCE(claim_role, ''), stage, queue_state,
       CASE WHEN claim_assignee IS NULL THEN 0 ELSE 1 END, COUNT(*), SUM(failed_run_count)
  FROM tasks
 GROUP BY 1, 2, 3, 4;
