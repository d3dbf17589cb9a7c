-- How many tasks there are of each kind, so that neither health nor queue statistics count them.
-- Many write at once here, and would all wait for the same few rows: each writes down by how much
-- the counts moved instead, and the sums are folded into task_counts now and then.

-- All failed runs of the task, in whatever stage it was.
ALTER TABLE tasks ADD COLUMN failed_run_count BIGINT NOT NULL DEFAULT 0;

-- Why a task with a role is not handed out, the first reason in this order; 'ready' where it is.
ALTER TABLE tasks ADD COLUMN queue_state TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (
    CASE WHEN is_dead = 1 THEN 'dead'
         WHEN is_leased = 1 THEN 'leased'
         WHEN open_dependency_count > 0 THEN 'blocked'
         WHEN is_delayed = 1 THEN 'delayed'
         ELSE 'ready' END) STORED;

UPDATE tasks
   SET failed_run_count = (SELECT COUNT(*)
                             FROM runs
                            WHERE runs.task_id = tasks.id
                              AND runs.status = 'failed')
 WHERE last_attempt > 0;

-- A row for each combination that ever occurred; '' stands for no role, which no role can be.
-- A count is right only together with its deltas, and may be below 0 without them.
CREATE TABLE task_counts (
    claim_role       TEXT COLLATE "C" NOT NULL,
    stage            TEXT COLLATE "C" NOT NULL,
    queue_state      TEXT COLLATE "C" NOT NULL,
    is_assigned      SMALLINT NOT NULL CHECK (is_assigned IN (0, 1)),
    task_count       BIGINT   NOT NULL,
    failed_run_count BIGINT   NOT NULL,
    PRIMARY KEY (claim_role, stage, queue_state, is_assigned)
);

INSERT INTO task_counts (claim_role, stage, queue_state, is_assigned, task_count, failed_run_count)
SELECT COALESCE(claim_role, ''), stage, queue_state,
       CASE WHEN claim_assignee IS NULL THEN 0 ELSE 1 END, COUNT(*), SUM(failed_run_count)
  FROM tasks
 GROUP BY 1, 2, 3, 4;

-- Rows live for a second or so.
CREATE TABLE task_count_deltas (
    claim_role       TEXT COLLATE "C" NOT NULL,
    stage            TEXT COLLATE "C" NOT NULL,
    queue_state      TEXT COLLATE "C" NOT NULL,
    is_assigned      SMALLINT NOT NULL,
    task_count       BIGINT   NOT NULL,
    failed_run_count BIGINT   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION tasks_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO task_count_deltas (claim_role, stage, queue_state, is_assigned, task_count,
                                       failed_run_count)
        VALUES (COALESCE(OLD.claim_role, ''), OLD.stage, OLD.queue_state,
                CASE WHEN OLD.claim_assignee IS NULL THEN 0 ELSE 1 END, -1,
                -OLD.failed_run_count);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO task_count_deltas (claim_role, stage, queue_state, is_assigned, task_count,
                                       failed_run_count)
        VALUES (COALESCE(NEW.claim_role, ''), NEW.stage, NEW.queue_state,
                CASE WHEN NEW.claim_assignee IS NULL THEN 0 ELSE 1 END, 1,
                NEW.failed_run_count);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER trg_tasks_count_insert AFTER INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_count();

CREATE TRIGGER trg_tasks_count_delete AFTER DELETE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_count();

CREATE TRIGGER trg_tasks_count_change AFTER UPDATE ON tasks
    FOR EACH ROW
    WHEN (OLD.queue_state IS DISTINCT FROM NEW.queue_state
          OR OLD.stage IS DISTINCT FROM NEW.stage
          OR OLD.claim_role IS DISTINCT FROM NEW.claim_role
          OR (OLD.claim_assignee IS NULL) <> (NEW.claim_assignee IS NULL)
          OR OLD.failed_run_count <> NEW.failed_run_count)
    EXECUTE FUNCTION tasks_count();

CREATE FUNCTION runs_count_failed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tasks SET failed_run_count = failed_run_count + 1 WHERE id = NEW.task_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER trg_runs_failed_insert AFTER INSERT ON runs
    FOR EACH ROW WHEN (NEW.status = 'failed') EXECUTE FUNCTION runs_count_failed();

CREATE TRIGGER trg_runs_failed_end AFTER UPDATE OF status ON runs
    FOR EACH ROW WHEN (NEW.status = 'failed' AND OLD.status <> 'failed')
    EXECUTE FUNCTION runs_count_failed();
