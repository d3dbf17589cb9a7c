-- Linear: how a workspace is connected, what goes there, what came, and what both agreed on.

CREATE TABLE integrations_linear (
    workspace_id          TEXT    NOT NULL PRIMARY KEY REFERENCES workspaces (id),
    team_id               TEXT    NOT NULL,
    enabled               INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    auth_kind             TEXT    NOT NULL CHECK (auth_kind IN ('api_key', 'oauth')),
    -- As they are: the service has to show them to Linear.
    api_key               TEXT    NOT NULL,
    webhook_secrets_json  TEXT    NOT NULL,
    import_issues         INTEGER NOT NULL CHECK (import_issues IN (0, 1)),
    create_labels         INTEGER NOT NULL CHECK (create_labels IN (0, 1)),
    status_map_json       TEXT    NOT NULL,
    replay_window_ms      INTEGER NOT NULL,
    reconcile_interval_ms INTEGER NOT NULL,
    status                TEXT    NOT NULL CHECK (status IN ('ok', 'auth_failed')),
    -- The states of the team as they were read last.
    states_json           TEXT    NOT NULL,
    limited_until_ms      INTEGER NOT NULL,
    cursor_ms             INTEGER NOT NULL,
    reconcile_at_ms       INTEGER NOT NULL,
    created_at_ms         INTEGER NOT NULL,
    updated_at_ms         INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_integrations_linear_team ON integrations_linear (team_id);

CREATE TABLE sync_outbox (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id       TEXT    NOT NULL REFERENCES workspaces (id),
    ticket_id          TEXT    NOT NULL REFERENCES tickets (id),
    op                 TEXT    NOT NULL CHECK (op IN ('issue_create', 'issue_update',
                                                      'comment_create', 'relation_create',
                                                      'relation_delete')),
    payload_json       TEXT    NOT NULL,
    state              TEXT    NOT NULL CHECK (state IN ('pending', 'inflight', 'done', 'dead')),
    attempts           INTEGER NOT NULL,
    -- Of a row in flight: when it counts as lost.
    next_attempt_at_ms INTEGER NOT NULL,
    last_error         TEXT,
    created_at_ms      INTEGER NOT NULL,
    updated_at_ms      INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_sync_outbox_open ON sync_outbox (ticket_id, id)
    WHERE state IN ('pending', 'inflight');
CREATE UNIQUE INDEX idx_sync_outbox_inflight ON sync_outbox (ticket_id)
    WHERE state = 'inflight';
CREATE INDEX idx_sync_outbox_due ON sync_outbox (next_attempt_at_ms, id)
    WHERE state IN ('pending', 'inflight');
CREATE INDEX idx_sync_outbox_done ON sync_outbox (ticket_id, updated_at_ms)
    WHERE state = 'done';
CREATE INDEX idx_sync_outbox_dead ON sync_outbox (ticket_id, id) WHERE state = 'dead';
CREATE INDEX idx_sync_outbox_old ON sync_outbox (updated_at_ms) WHERE state = 'done';
CREATE INDEX idx_sync_outbox_workspace ON sync_outbox (workspace_id, id);
CREATE INDEX idx_sync_outbox_state ON sync_outbox (workspace_id, state, id);

CREATE TABLE sync_inbox (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id       TEXT    NOT NULL REFERENCES workspaces (id),
    delivery_id        TEXT    NOT NULL,
    source             TEXT    NOT NULL CHECK (source IN ('webhook', 'poll')),
    payload_json       TEXT    NOT NULL,
    state              TEXT    NOT NULL CHECK (state IN ('pending', 'done', 'dead')),
    attempts           INTEGER NOT NULL,
    next_attempt_at_ms INTEGER NOT NULL,
    outcome            TEXT,
    received_at_ms     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_sync_inbox_delivery ON sync_inbox (workspace_id, delivery_id);
CREATE INDEX idx_sync_inbox_due ON sync_inbox (next_attempt_at_ms, id) WHERE state = 'pending';
CREATE INDEX idx_sync_inbox_old ON sync_inbox (received_at_ms) WHERE state = 'done';

CREATE TABLE sync_shadow (
    ticket_id            TEXT    NOT NULL PRIMARY KEY REFERENCES tickets (id),
    workspace_id         TEXT    NOT NULL REFERENCES workspaces (id),
    -- The last values of the issue that we know of; an empty object before the first.
    fields_json          TEXT    NOT NULL,
    remote_updated_at_ms INTEGER,
    -- When each field changed here last.
    changed_json         TEXT    NOT NULL,
    last_synced_at_ms    INTEGER,
    is_detached          INTEGER NOT NULL CHECK (is_detached IN (0, 1)),
    paused_until_ms      INTEGER NOT NULL,
    -- Set while somebody wants the issue to be read anew.
    pull_at_ms           INTEGER,
    last_error           TEXT,
    conflict_json        TEXT
) STRICT;

CREATE INDEX idx_sync_shadow_workspace ON sync_shadow (workspace_id);
CREATE INDEX idx_sync_shadow_pull ON sync_shadow (pull_at_ms) WHERE pull_at_ms IS NOT NULL;
