-- The task ledger's tables, with the columns that docs/ledger.md explains.

-- Numbers ascend without AUTOINCREMENT, because no row ever goes.
CREATE TABLE task_events (
    seq            INTEGER PRIMARY KEY,
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
) STRICT;

-- A req ends once, whoever writes.
CREATE UNIQUE INDEX idx_task_events_one_end ON task_events (req) WHERE is_terminal = 1;
-- Ids that clients give. Those of the service begin with the req, so that it is enough to look
-- among the events of that, and an index would cost every fact of a task.
CREATE UNIQUE INDEX idx_task_events_event_id
    ON task_events (event_id)
 WHERE event_id IS NOT NULL
   AND substr(req, 1, 5) <> 'task:' AND substr(req, 1, 7) NOT IN ('system:', 'ticket:');

CREATE TRIGGER trg_task_events_no_update BEFORE UPDATE ON task_events
BEGIN
    SELECT RAISE(ABORT, 'task_events is append-only');
END;

CREATE TRIGGER trg_task_events_no_delete BEFORE DELETE ON task_events
BEGIN
    SELECT RAISE(ABORT, 'task_events is append-only');
END;

CREATE TRIGGER trg_task_events_no_more BEFORE INSERT ON task_events
WHEN EXISTS (SELECT 1 FROM task_events WHERE req = NEW.req AND is_terminal = 1)
BEGIN
    SELECT RAISE(ABORT, 'this req has ended');
END;

CREATE TABLE task_state_snapshot (
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
) STRICT;

-- What the service itself keeps up to date, while it is open. Each change of a task would cost more
-- with an index that knows who went quiet.
CREATE INDEX idx_task_state_snapshot_kept
    ON task_state_snapshot (req)
 WHERE is_terminal = 0
   AND (substr(req, 1, 5) = 'task:' OR substr(req, 1, 7) IN ('system:', 'ticket:'));

-- What clients report, in the order in which it went quiet.
CREATE INDEX idx_task_state_snapshot_watched
    ON task_state_snapshot (state, last_event_at_ms, req)
 WHERE is_terminal = 0
   AND substr(req, 1, 5) <> 'task:' AND substr(req, 1, 7) NOT IN ('system:', 'ticket:');

-- The last event of each req together with its snapshot: what is inserted here goes to both, whole
-- or not at all. kept_… are those of the snapshot.
CREATE VIEW task_facts AS
SELECT e.req, e.n, e.state, e.previous_state, e.is_terminal, e.actor, e.source, e.stage, e.message,
       e.data_json, e.event_id, e.scope, e.recorded_at_ms, s.stage AS kept_stage,
       s.data_json AS kept_data_json, s.first_event_at_ms, s.state_entered_at_ms, s.terminal_at_ms,
       s.attempts
  FROM task_state_snapshot AS s
  JOIN task_events AS e ON e.seq = s.last_seq;

CREATE TRIGGER trg_task_facts_first INSTEAD OF INSERT ON task_facts WHEN NEW.n = 1
BEGIN
    INSERT INTO task_events (req, n, state, previous_state, is_terminal, actor, source, stage,
                             message, data_json, event_id, scope, recorded_at_ms)
    VALUES (NEW.req, NEW.n, NEW.state, NEW.previous_state, NEW.is_terminal, NEW.actor, NEW.source,
            NEW.stage, NEW.message, NEW.data_json, NEW.event_id, NEW.scope, NEW.recorded_at_ms);
    INSERT INTO task_state_snapshot (
           req, scope, state, is_terminal, stage, actor, source, message, data_json,
           first_event_at_ms, last_event_at_ms, state_entered_at_ms, terminal_at_ms, event_count,
           last_seq, attempts)
    VALUES (NEW.req, NEW.scope, NEW.state, NEW.is_terminal, NEW.kept_stage, NEW.actor, NEW.source,
            NEW.message, NEW.kept_data_json, NEW.first_event_at_ms, NEW.recorded_at_ms,
            NEW.state_entered_at_ms, NEW.terminal_at_ms, NEW.n, last_insert_rowid(), NEW.attempts);
END;

-- What is told twice is told in short order: a look at the last hundred events finds it.
CREATE TRIGGER trg_task_facts_next INSTEAD OF INSERT ON task_facts
WHEN NEW.n > 1 AND NEW.is_terminal = 0
BEGIN
    SELECT RAISE(ABORT, 'this was told already')
     WHERE EXISTS (SELECT 1 FROM task_events
                    WHERE req = NEW.req AND n > NEW.n - 100 AND event_id = NEW.event_id);
    INSERT INTO task_events (req, n, state, previous_state, is_terminal, actor, source, stage,
                             message, data_json, event_id, scope, recorded_at_ms)
    VALUES (NEW.req, NEW.n, NEW.state, NEW.previous_state, NEW.is_terminal, NEW.actor, NEW.source,
            NEW.stage, NEW.message, NEW.data_json, NEW.event_id, NEW.scope, NEW.recorded_at_ms);
    UPDATE task_state_snapshot
       SET state = NEW.state,
           stage = NEW.kept_stage,
           actor = NEW.actor,
           source = NEW.source,
           message = NEW.message,
           data_json = NEW.kept_data_json,
           last_event_at_ms = NEW.recorded_at_ms,
           state_entered_at_ms = NEW.state_entered_at_ms,
           event_count = NEW.n,
           last_seq = last_insert_rowid(),
           attempts = NEW.attempts
     WHERE req = NEW.req;
END;

-- Apart, because whoever sets is_terminal writes to the index of what is open.
CREATE TRIGGER trg_task_facts_last INSTEAD OF INSERT ON task_facts
WHEN NEW.n > 1 AND NEW.is_terminal = 1
BEGIN
    SELECT RAISE(ABORT, 'this was told already')
     WHERE EXISTS (SELECT 1 FROM task_events
                    WHERE req = NEW.req AND n > NEW.n - 100 AND event_id = NEW.event_id);
    INSERT INTO task_events (req, n, state, previous_state, is_terminal, actor, source, stage,
                             message, data_json, event_id, scope, recorded_at_ms)
    VALUES (NEW.req, NEW.n, NEW.state, NEW.previous_state, NEW.is_terminal, NEW.actor, NEW.source,
            NEW.stage, NEW.message, NEW.data_json, NEW.event_id, NEW.scope, NEW.recorded_at_ms);
    UPDATE task_state_snapshot
       SET state = NEW.state,
           is_terminal = 1,
           stage = NEW.kept_stage,
           actor = NEW.actor,
           source = NEW.source,
           message = NEW.message,
           data_json = NEW.kept_data_json,
           last_event_at_ms = NEW.recorded_at_ms,
           state_entered_at_ms = NEW.state_entered_at_ms,
           terminal_at_ms = NEW.terminal_at_ms,
           event_count = NEW.n,
           last_seq = last_insert_rowid(),
           attempts = NEW.attempts
     WHERE req = NEW.req;
END;

CREATE TABLE delivery_log (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    channel               TEXT    NOT NULL,
    dedupe_key            TEXT    NOT NULL,
    req                   TEXT,
    state                 TEXT,
    payload_hash          TEXT,
    cooldown_ms           INTEGER,
    status                TEXT    NOT NULL CHECK (status IN ('failed', 'recorded')),
    delivered_at_ms       INTEGER NOT NULL,
    suppressed_count      INTEGER NOT NULL,
    last_suppressed_at_ms INTEGER
) STRICT;

CREATE INDEX idx_delivery_log_key ON delivery_log (channel, dedupe_key, id);
CREATE INDEX idx_delivery_log_req ON delivery_log (channel, req, id);
