-- The dependents of a task in order, and the newest of them at the end.

DROP INDEX idx_task_dependencies_target;
CREATE INDEX idx_task_dependencies_target ON task_dependencies (depends_on_task_id, seq);
