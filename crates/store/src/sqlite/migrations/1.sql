-- Names of tables and columns are those of the gateway's PostgreSQL schema. Times are microseconds since 1970, lists JSON.
CREATE TABLE envelopes (
    id TEXT PRIMARY KEY,
    parent_id TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'unknown')),
    route_actors TEXT NOT NULL,
    route_current INTEGER NOT NULL,
    route_metadata TEXT,
    headers TEXT,
    payload TEXT,
    result TEXT,
    error TEXT,
    code TEXT,
    timeout_sec INTEGER,
    deadline INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    progress_percent REAL NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    current_actor_idx INTEGER NOT NULL DEFAULT 0,
    current_actor_name TEXT,
    message TEXT,
    actors_completed INTEGER NOT NULL DEFAULT 0,
    total_actors INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    report_seq INTEGER NOT NULL DEFAULT 0,
    tool TEXT,
    sender TEXT,
    namespace TEXT,
    resubmit_of TEXT
) STRICT;
CREATE INDEX envelopes_by_time ON envelopes (created_at, id);
CREATE INDEX envelopes_by_status ON envelopes (status, created_at, id);
CREATE INDEX envelopes_by_actor ON envelopes (current_actor_name, created_at, id);
CREATE INDEX envelopes_by_tool ON envelopes (tool, created_at, id) WHERE tool IS NOT NULL;
CREATE INDEX envelopes_by_parent ON envelopes (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX envelopes_by_code ON envelopes (code, created_at, id) WHERE code IS NOT NULL;
CREATE INDEX envelopes_by_origin ON envelopes (resubmit_of, created_at, id) WHERE resubmit_of IS NOT NULL;
CREATE INDEX envelopes_by_deadline ON envelopes (deadline) WHERE deadline IS NOT NULL AND ended_at IS NULL;
CREATE INDEX envelopes_by_end ON envelopes (ended_at) WHERE ended_at IS NOT NULL;

-- AUTOINCREMENT: a number is never given twice, even after the last updates were deleted.
CREATE TABLE envelope_updates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id TEXT NOT NULL REFERENCES envelopes (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    message TEXT,
    result TEXT,
    error TEXT,
    timestamp INTEGER NOT NULL,
    progress_percent REAL,
    actor TEXT,
    actors TEXT,
    current_actor_idx INTEGER,
    envelope_state TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER,
    size_bytes INTEGER
) STRICT;
CREATE INDEX updates_by_envelope ON envelope_updates (envelope_id, id);
CREATE INDEX updates_by_time ON envelope_updates (timestamp);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id TEXT NOT NULL REFERENCES envelopes (id) ON DELETE CASCADE,
    actor TEXT NOT NULL,
    body BLOB NOT NULL,
    ready_at INTEGER NOT NULL,
    claims INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_readiness ON outbox (ready_at, id);
CREATE INDEX outbox_by_envelope ON outbox (envelope_id);

CREATE TABLE dead_letters (
    id TEXT PRIMARY KEY,
    envelope_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    code TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    body BLOB NOT NULL,
    detail TEXT,
    dead_since INTEGER NOT NULL,
    replayed_as TEXT,
    replayed_at INTEGER,
    taken_until INTEGER
) STRICT;
CREATE INDEX dead_by_time ON dead_letters (dead_since, id);
CREATE INDEX dead_by_reason ON dead_letters (actor, code, dead_since) WHERE replayed_at IS NULL;
CREATE INDEX dead_by_envelope ON dead_letters (envelope_id);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    envelope_id TEXT,
    detail TEXT
) STRICT;
CREATE INDEX audit_by_envelope ON audit (envelope_id, id) WHERE envelope_id IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);
