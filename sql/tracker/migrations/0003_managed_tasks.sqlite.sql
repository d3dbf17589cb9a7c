-- Tasks that somebody else in this service made for a purpose of its own, and keeps.

-- Who that is; NULL for a task that clients made.
ALTER TABLE tasks ADD COLUMN manager TEXT;

-- Nobody may claim a held task, and it counts as one more open dependency, so that the claim
-- need not ask for anything new. A lease that is there stays.
ALTER TABLE tasks ADD COLUMN is_held INTEGER NOT NULL DEFAULT 0 CHECK (is_held IN (0, 1));
