-- The task ledger: what was reported, where each piece of work stands, what was sent about it.
-- Safe to run again. Times are Unix milliseconds, flags are 0 or 1.

-- Append-only. seq is the order of everything, n counts the events of one req from 1.
CREATE TABLE IF NOT EXISTS task_events (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    req            TEXT    NOT NULL,
    n              INTEGER NOT NULL CHECK (n >= 1),
    state          TEXT    NOT NULL,
    previous_state TEXT,
    is_terminal    INTEGER NOT NULL CHECK (is_terminal IN (0, 1)),
    actor          TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    stage          TEXT,
    message        TEXT,
    data_json      TEXT,
    event_id       TEXT,
    scope          TEXT,
    ts_ms          INTEGER,
    recorded_at_ms INTEGER NOT NULL,
    UNIQUE (req, n)
);

CREATE UNIQUE INDEX IF NOT EXISTS idx_task_events_one_end ON task_events (req) WHERE is_terminal = 1;
CREATE UNIQUE INDEX IF NOT EXISTS idx_task_events_event_id
    ON task_events (event_id) WHERE event_id IS NOT NULL;

CREATE TRIGGER IF NOT EXISTS trg_task_events_no_update BEFORE UPDATE ON task_events
BEGIN
    SELECT RAISE(ABORT, 'task_events is append-only');
END;

CREATE TRIGGER IF NOT EXISTS trg_task_events_no_delete BEFORE DELETE ON task_events
BEGIN
    SELECT RAISE(ABORT, 'task_events is append-only');
END;

CREATE TRIGGER IF NOT EXISTS trg_task_events_no_more BEFORE INSERT ON task_events
WHEN EXISTS (SELECT 1 FROM task_events WHERE req = NEW.req AND is_terminal = 1)
BEGIN
    SELECT RAISE(ABORT, 'this req has ended');
END;

-- INSERT OR REPLACE would delete the row that is in its way, and fires no trigger for that.
CREATE TRIGGER IF NOT EXISTS trg_task_events_no_replace BEFORE INSERT ON task_events
WHEN EXISTS (SELECT 1 FROM task_events WHERE seq = NEW.seq)
  OR EXISTS (SELECT 1 FROM task_events WHERE req = NEW.req AND n = NEW.n)
  OR EXISTS (SELECT 1 FROM task_events WHERE event_id = NEW.event_id)
BEGIN
    SELECT RAISE(ABORT, 'this event is stored');
END;

-- A fold over the events of each req: it can be dropped and made anew.
CREATE TABLE IF NOT EXISTS task_state_snapshot (
    req                 TEXT    NOT NULL PRIMARY KEY,
    scope               TEXT,
    state               TEXT    NOT NULL,
    is_terminal         INTEGER NOT NULL CHECK (is_terminal IN (0, 1)),
    stage               TEXT,
    actor               TEXT    NOT NULL,
    source              TEXT    NOT NULL,
    message             TEXT,
    data_json           TEXT,
    first_event_at_ms   INTEGER NOT NULL,
    last_event_at_ms    INTEGER NOT NULL,
    state_entered_at_ms INTEGER NOT NULL,
    terminal_at_ms      INTEGER,
    event_count         INTEGER NOT NULL,
    last_seq            INTEGER NOT NULL,
    attempts            INTEGER NOT NULL
);

CREATE INDEX IF NOT EXISTS idx_task_state_snapshot_open
    ON task_state_snapshot (state, last_event_at_ms, req) WHERE is_terminal = 0;

-- A row for each message that was let through.
CREATE TABLE IF NOT EXISTS delivery_log (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    channel               TEXT    NOT NULL,
    dedupe_key            TEXT    NOT NULL,
    req                   TEXT,
    state                 TEXT,
    payload_hash          TEXT,
    cooldown_ms           INTEGER,
    status                TEXT    NOT NULL CHECK (status IN ('recorded', 'failed')),
    delivered_at_ms       INTEGER NOT NULL,
    suppressed_count      INTEGER NOT NULL DEFAULT 0,
    last_suppressed_at_ms INTEGER
);

CREATE INDEX IF NOT EXISTS idx_delivery_log_key ON delivery_log (channel, dedupe_key, id);
CREATE INDEX IF NOT EXISTS idx_delivery_log_req ON delivery_log (channel, req, id);
