-- Tickets and what belongs to them. Times are Unix milliseconds, flags are 0 or 1.

CREATE TABLE workspaces (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('active', 'paused', 'archived')),
    dispatch_json TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_workspaces_created ON workspaces (created_at_ms, id);

CREATE TABLE workspace_agents (
    agent_id           TEXT    NOT NULL PRIMARY KEY,
    workspace_id       TEXT    NOT NULL REFERENCES workspaces (id),
    role               TEXT    NOT NULL,
    enabled            INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    max_active_tickets INTEGER CHECK (max_active_tickets >= 1),
    display_name       TEXT,
    linear_user_id     TEXT,
    created_at_ms      INTEGER NOT NULL,
    updated_at_ms      INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_workspace_agents_workspace ON workspace_agents (workspace_id, agent_id);
CREATE INDEX idx_workspace_agents_role ON workspace_agents (workspace_id, role, agent_id);

CREATE TABLE workspace_teams (
    workspace_id  TEXT    NOT NULL REFERENCES workspaces (id),
    team_id       TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, team_id)
) STRICT;

CREATE TABLE workspace_team_members (
    workspace_id TEXT    NOT NULL,
    team_id      TEXT    NOT NULL,
    agent_id     TEXT    NOT NULL REFERENCES workspace_agents (agent_id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, team_id, agent_id),
    FOREIGN KEY (workspace_id, team_id)
        REFERENCES workspace_teams (workspace_id, team_id) ON DELETE CASCADE
) STRICT;

CREATE INDEX idx_workspace_team_members_agent ON workspace_team_members (agent_id);

CREATE TABLE tickets (
    seq                    INTEGER PRIMARY KEY,
    id                     TEXT    NOT NULL UNIQUE,
    workspace_id           TEXT    NOT NULL REFERENCES workspaces (id),
    title                  TEXT    NOT NULL,
    description            TEXT,
    status                 TEXT    NOT NULL CHECK (status IN ('open', 'in_progress', 'blocked',
                                                              'done', 'failed', 'cancelled')),
    -- 1 low, 2 medium, 3 high, 4 critical.
    priority               INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 4),
    provider               TEXT    NOT NULL CHECK (provider IN ('local', 'linear')),
    external_id            TEXT,
    external_key           TEXT,
    url                    TEXT,
    assigned_agent_id      TEXT,
    assigned_team_id       TEXT,
    delegated_by_agent_id  TEXT,
    channel_id             TEXT,
    mode                   TEXT    NOT NULL CHECK (mode IN ('chat', 'plan', 'review')),
    pipeline_run_id        TEXT,
    project_id             TEXT,
    parent_ticket_id       TEXT,
    output_schema_json     TEXT,
    output_json            TEXT,
    error_message          TEXT,
    execution_locked_at_ms INTEGER,
    version                INTEGER NOT NULL CHECK (version >= 1),
    labels_json            TEXT    NOT NULL,
    -- Folded and sorted, for filters: each label between two newlines.
    label_keys             TEXT    NOT NULL,
    -- Title and description, folded, for the filter q.
    search_text            TEXT    NOT NULL,
    status_reason          TEXT,
    blocked_kind           TEXT    CHECK (blocked_kind IN ('input', 'dependency')),
    -- Where the work on it stands; 'dispatched' says that ticket_dispatches knows more.
    dispatch_state         TEXT    NOT NULL CHECK (dispatch_state IN
                                       ('none', 'waiting', 'dispatched', 'external', 'ended')),
    wait_reason            TEXT,
    generation             INTEGER NOT NULL DEFAULT 0,
    dispatch_pipeline_id   TEXT,
    retry_policy_json      TEXT,
    on_invalid_output      TEXT    CHECK (on_invalid_output IN ('fail', 'reject')),
    on_dead_letter         TEXT    CHECK (on_dead_letter IN ('fail', 'block')),
    created_by             TEXT    NOT NULL,
    created_at_ms          INTEGER NOT NULL,
    updated_at_ms          INTEGER NOT NULL,
    started_at_ms          INTEGER,
    finished_at_ms         INTEGER,
    status_changed_at_ms   INTEGER,
    CHECK ((execution_locked_at_ms IS NOT NULL) = (status = 'in_progress')),
    CHECK (output_json IS NULL OR status = 'done'),
    CHECK ((error_message IS NOT NULL) = (status = 'failed')),
    CHECK ((blocked_kind IS NOT NULL) = (status = 'blocked')),
    CHECK ((finished_at_ms IS NOT NULL) = (status IN ('done', 'failed', 'cancelled'))),
    CHECK (wait_reason IS NULL OR dispatch_state = 'waiting'),
    CHECK (assigned_agent_id IS NOT NULL OR dispatch_state <> 'dispatched')
) STRICT;

CREATE INDEX idx_tickets_created ON tickets (workspace_id, created_at_ms, id);
CREATE INDEX idx_tickets_updated ON tickets (workspace_id, updated_at_ms, id);
CREATE INDEX idx_tickets_priority ON tickets (workspace_id, priority, id);
CREATE INDEX idx_tickets_status ON tickets (workspace_id, status, priority);
CREATE INDEX idx_tickets_waiting
    ON tickets (workspace_id, priority DESC, created_at_ms, id)
    WHERE dispatch_state = 'waiting';
CREATE INDEX idx_tickets_dependent ON tickets (seq)
    WHERE blocked_kind = 'dependency';
CREATE INDEX idx_tickets_parent ON tickets (parent_ticket_id)
    WHERE parent_ticket_id IS NOT NULL;
CREATE INDEX idx_tickets_agent ON tickets (assigned_agent_id, status)
    WHERE assigned_agent_id IS NOT NULL;
CREATE INDEX idx_tickets_team ON tickets (workspace_id, assigned_team_id, status)
    WHERE assigned_team_id IS NOT NULL;
CREATE UNIQUE INDEX idx_tickets_external ON tickets (external_id)
    WHERE external_id IS NOT NULL;

-- What happened, for ever: ids ascend in commit order.
CREATE TABLE ticket_events (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id   TEXT    NOT NULL,
    ticket_id      TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    occurred_at_ms INTEGER NOT NULL,
    caused_by      INTEGER,
    data_json      TEXT    NOT NULL
) STRICT;

CREATE INDEX idx_ticket_events_ticket ON ticket_events (ticket_id, id);
CREATE INDEX idx_ticket_events_workspace ON ticket_events (workspace_id, id);

CREATE TRIGGER trg_ticket_events_update BEFORE UPDATE ON ticket_events
BEGIN
    SELECT RAISE(ABORT, 'events never change');
END;

CREATE TRIGGER trg_ticket_events_delete BEFORE DELETE ON ticket_events
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;

CREATE TABLE ticket_links (
    seq              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    workspace_id     TEXT    NOT NULL,
    type             TEXT    NOT NULL CHECK (type IN ('blocks', 'relatesTo', 'duplicateOf')),
    source_ticket_id TEXT    NOT NULL REFERENCES tickets (id),
    target_ticket_id TEXT    NOT NULL REFERENCES tickets (id),
    created_by       TEXT    NOT NULL,
    created_at_ms    INTEGER NOT NULL,
    CHECK (source_ticket_id <> target_ticket_id)
) STRICT;

CREATE UNIQUE INDEX idx_ticket_links_edge
    ON ticket_links (source_ticket_id, target_ticket_id, type);
CREATE UNIQUE INDEX idx_ticket_links_duplicate ON ticket_links (source_ticket_id)
    WHERE type = 'duplicateOf';
CREATE INDEX idx_ticket_links_target ON ticket_links (target_ticket_id, type, source_ticket_id);

CREATE TABLE ticket_collaborators (
    seq             INTEGER PRIMARY KEY,
    ticket_id       TEXT    NOT NULL REFERENCES tickets (id),
    collaborator_id TEXT    NOT NULL,
    role            TEXT    NOT NULL CHECK (role IN ('owner', 'member')),
    added_by        TEXT    NOT NULL,
    added_at_ms     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_ticket_collaborators_id
    ON ticket_collaborators (ticket_id, collaborator_id);

CREATE TABLE ticket_channels (
    id           TEXT    NOT NULL PRIMARY KEY,
    workspace_id TEXT    NOT NULL,
    ticket_id    TEXT    NOT NULL UNIQUE REFERENCES tickets (id),
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE ticket_participants (
    seq            INTEGER PRIMARY KEY,
    channel_id     TEXT    NOT NULL REFERENCES ticket_channels (id),
    participant_id TEXT    NOT NULL,
    role           TEXT    NOT NULL CHECK (role IN ('owner', 'member')),
    joined_at_ms   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX idx_ticket_participants_id
    ON ticket_participants (channel_id, participant_id);

CREATE TABLE ticket_comments (
    seq               INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    ticket_id         TEXT    NOT NULL REFERENCES tickets (id),
    channel_id        TEXT    NOT NULL REFERENCES ticket_channels (id),
    author            TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    body              TEXT    NOT NULL,
    parent_comment_id TEXT,
    external_id       TEXT,
    created_at_ms     INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_ticket_comments_ticket ON ticket_comments (ticket_id, seq);
CREATE UNIQUE INDEX idx_ticket_comments_external ON ticket_comments (external_id)
    WHERE external_id IS NOT NULL;

-- One row for each task that a ticket was given; the last generation is the present one.
CREATE TABLE ticket_dispatches (
    seq                 INTEGER PRIMARY KEY,
    ticket_id           TEXT    NOT NULL REFERENCES tickets (id),
    generation          INTEGER NOT NULL CHECK (generation >= 1),
    task_id             TEXT    NOT NULL UNIQUE,
    pipeline_id         TEXT    NOT NULL,
    agent_id            TEXT    NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN
                                    ('queued', 'claimed', 'held', 'waiting', 'ended')),
    wait_reason         TEXT,
    stage               TEXT    NOT NULL,
    run_id              TEXT,
    attempt             INTEGER,
    lease_expires_at_ms INTEGER,
    last_error          TEXT,
    output_json         TEXT,
    created_at_ms       INTEGER NOT NULL,
    ended_at_ms         INTEGER,
    end_reason          TEXT,
    CHECK ((state = 'ended') = (ended_at_ms IS NOT NULL)),
    CHECK ((state = 'ended') = (end_reason IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX idx_ticket_dispatches_generation
    ON ticket_dispatches (ticket_id, generation);
CREATE UNIQUE INDEX idx_ticket_dispatches_live ON ticket_dispatches (ticket_id)
    WHERE ended_at_ms IS NULL;
CREATE INDEX idx_ticket_dispatches_agent ON ticket_dispatches (agent_id, state)
    WHERE ended_at_ms IS NULL;
CREATE INDEX idx_ticket_dispatches_waiting ON ticket_dispatches (seq)
    WHERE state = 'waiting';
