-- How many tasks there are of each kind, so that neither health nor queue statistics count them.
-- One writer at a time makes this cheap here. The counts by stage name alone go.

DROP TRIGGER trg_tasks_count_insert;
DROP TRIGGER trg_tasks_count_delete;
DROP TRIGGER trg_tasks_count_move;
DROP TABLE stage_counts;

-- All failed runs of the task, in whatever stage it was.
ALTER TABLE tasks ADD COLUMN failed_run_count INTEGER NOT NULL DEFAULT 0;

-- Why a task with a role is not handed out, the first reason in this order; 'ready' where it is.
ALTER TABLE tasks ADD COLUMN queue_state TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN is_dead = 1 THEN 'dead'
         WHEN is_leased = 1 THEN 'leased'
         WHEN open_dependency_count > 0 THEN 'blocked'
         WHEN is_delayed = 1 THEN 'delayed'
         ELSE 'ready' END) VIRTUAL;

UPDATE tasks
   SET failed_run_count = (SELECT COUNT(*)
                             FROM runs
                            WHERE runs.task_id = tasks.id
                              AND runs.status = 'failed')
 WHERE last_attempt > 0;

-- A row for each combination that ever occurred; '' stands for no role, which no role can be.
CREATE TABLE task_counts (
    claim_role       TEXT    NOT NULL,
    stage            TEXT    NOT NULL,
    queue_state      TEXT    NOT NULL,
    is_assigned      INTEGER NOT NULL CHECK (is_assigned IN (0, 1)),
    task_count       INTEGER NOT NULL CHECK (task_count >= 0),
    failed_run_count INTEGER NOT NULL,
    PRIMARY KEY (claim_role, stage, queue_state, is_assigned)
) STRICT, WITHOUT ROWID;

INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count, failed_run_count)
SELECT COALESCE(claim_role, ''), stage, queue_state, claim_assignee IS NOT NULL, COUNT(*),
       SUM(failed_run_count)
  FROM tasks
 GROUP BY 1, 2, 3, 4;

CREATE TRIGGER trg_tasks_count_insert AFTER INSERT ON tasks
BEGIN
    INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count,
                             failed_run_count)
    VALUES (COALESCE(NEW.claim_role, ''), NEW.stage, NEW.queue_state,
            NEW.claim_assignee IS NOT NULL, 1, NEW.failed_run_count)
        ON CONFLICT DO UPDATE SET task_count = task_count + 1,
                                  failed_run_count = failed_run_count + excluded.failed_run_count;
END;

CREATE TRIGGER trg_tasks_count_delete AFTER DELETE ON tasks
BEGIN
    UPDATE task_counts
       SET task_count = task_count - 1,
           failed_run_count = failed_run_count - OLD.failed_run_count
     WHERE claim_role = COALESCE(OLD.claim_role, '') AND stage = OLD.stage
       AND queue_state = OLD.queue_state AND is_assigned = (OLD.claim_assignee IS NOT NULL);
END;

CREATE TRIGGER trg_tasks_count_change
AFTER UPDATE OF stage, claim_role, claim_assignee, is_dead, is_leased, is_delayed,
                open_dependency_count, failed_run_count ON tasks
WHEN OLD.queue_state <> NEW.queue_state OR OLD.stage <> NEW.stage
  OR OLD.claim_role IS NOT NEW.claim_role
  OR (OLD.claim_assignee IS NULL) <> (NEW.claim_assignee IS NULL)
  OR OLD.failed_run_count <> NEW.failed_run_count
BEGIN
    UPDATE task_counts
       SET task_count = task_count - 1,
           failed_run_count = failed_run_count - OLD.failed_run_count
     WHERE claim_role = COALESCE(OLD.claim_role, '') AND stage = OLD.stage
       AND queue_state = OLD.queue_state AND is_assigned = (OLD.claim_assignee IS NOT NULL);
    INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count,
                             failed_run_count)
    VALUES (COALESCE(NEW.claim_role, ''), NEW.stage, NEW.queue_state,
            NEW.claim_assignee IS NOT NULL, 1, NEW.failed_run_count)
        ON CONFLICT DO UPDATE SET task_count = task_count + 1,
                                  failed_run_count = failed_run_count + excluded.failed_run_count;
END;

CREATE TRIGGER trg_runs_failed_insert AFTER INSERT ON runs WHEN NEW.status = 'failed'
BEGIN
    UPDATE tasks SET failed_run_count = failed_run_count + 1 WHERE id = NEW.task_id;
END;

CREATE TRIGGER trg_runs_failed_end AFTER UPDATE OF status ON runs
WHEN NEW.status = 'failed' AND OLD.status <> 'failed'
BEGIN
    UPDATE tasks SET failed_run_count = failed_run_count + 1 WHERE id = NEW.task_id;
END;
