-- IF NOT EXISTS: the first two tables may have been taken over from the Go system. JSON is kept as text, verbatim:
-- json and jsonb refuse deep nesting, and jsonb changes numbers, order and \u0000. Cast it to look inside.
CREATE TABLE IF NOT EXISTS envelopes (
    id TEXT PRIMARY KEY,
    parent_id TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'unknown')),
    route_actors TEXT[] NOT NULL,
    route_current INT NOT NULL DEFAULT 0,
    payload TEXT,
    result TEXT,
    error TEXT,
    timeout_sec INT,
    deadline TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    progress_percent DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    current_actor_idx INT NOT NULL DEFAULT 0,
    current_actor_name TEXT,
    message TEXT,
    actors_completed INT NOT NULL DEFAULT 0,
    total_actors INT NOT NULL DEFAULT 0
);
ALTER TABLE envelopes
    ADD COLUMN route_metadata TEXT,
    ADD COLUMN headers TEXT,
    ADD COLUMN code TEXT,
    ADD COLUMN ended_at TIMESTAMPTZ,
    ADD COLUMN attempt BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN report_seq BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN tool TEXT,
    ADD COLUMN sender TEXT,
    ADD COLUMN namespace TEXT,
    ADD COLUMN resubmit_of TEXT;
UPDATE envelopes SET ended_at = updated_at WHERE status IN ('succeeded', 'failed');
UPDATE envelopes SET code = CASE error WHEN 'envelope timed out' THEN 'deadline_exceeded' ELSE 'unknown' END
    WHERE status = 'failed';
CREATE INDEX envelopes_by_time ON envelopes (created_at, id);
CREATE INDEX envelopes_by_status ON envelopes (status, created_at, id);
CREATE INDEX envelopes_by_actor ON envelopes (current_actor_name, created_at, id);
CREATE INDEX envelopes_by_tool ON envelopes (tool, created_at, id) WHERE tool IS NOT NULL;
CREATE INDEX envelopes_by_parent ON envelopes (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX envelopes_by_code ON envelopes (code, created_at, id) WHERE code IS NOT NULL;
CREATE INDEX envelopes_by_origin ON envelopes (resubmit_of, created_at, id) WHERE resubmit_of IS NOT NULL;
CREATE INDEX envelopes_by_deadline ON envelopes (deadline) WHERE deadline IS NOT NULL AND ended_at IS NULL;
CREATE INDEX envelopes_by_end ON envelopes (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS envelope_updates (
    id BIGSERIAL PRIMARY KEY,
    envelope_id TEXT NOT NULL REFERENCES envelopes (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    message TEXT,
    result TEXT,
    error TEXT,
    timestamp TIMESTAMPTZ NOT NULL,
    progress_percent DOUBLE PRECISION,
    actor TEXT,
    envelope_state TEXT
);
ALTER TABLE envelope_updates
    ADD COLUMN actors TEXT[],
    ADD COLUMN current_actor_idx INT,
    ADD COLUMN attempt BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN duration_ms BIGINT,
    ADD COLUMN size_bytes BIGINT;
CREATE INDEX updates_by_envelope ON envelope_updates (envelope_id, id);
CREATE INDEX updates_by_time ON envelope_updates (timestamp);

CREATE TABLE outbox (
    id BIGSERIAL PRIMARY KEY,
    envelope_id TEXT NOT NULL REFERENCES envelopes (id) ON DELETE CASCADE,
    actor TEXT NOT NULL,
    body BYTEA NOT NULL,
    ready_at TIMESTAMPTZ NOT NULL,
    claims BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX outbox_by_readiness ON outbox (ready_at, id);
CREATE INDEX outbox_by_envelope ON outbox (envelope_id);

CREATE TABLE dead_letters (
    id TEXT PRIMARY KEY,
    envelope_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    code TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    body BYTEA NOT NULL,
    detail TEXT,
    dead_since TIMESTAMPTZ NOT NULL,
    replayed_as TEXT,
    replayed_at TIMESTAMPTZ,
    taken_until TIMESTAMPTZ
);
CREATE INDEX dead_by_time ON dead_letters (dead_since, id);
CREATE INDEX dead_by_reason ON dead_letters (actor, code, dead_since) WHERE replayed_at IS NULL;
CREATE INDEX dead_by_envelope ON dead_letters (envelope_id);

CREATE TABLE audit (
    id BIGSERIAL PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    envelope_id TEXT,
    detail TEXT
);
CREATE INDEX audit_by_envelope ON audit (envelope_id, id) WHERE envelope_id IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);

-- Keys are compared by their bytes, as in SQLite.
CREATE TABLE records (
    tbl TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tbl, key)
);
