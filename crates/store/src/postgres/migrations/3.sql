-- Conversations with agents. Of an envelope that carries a turn: the conversation it belongs to, told when it ends.
ALTER TABLE envelopes ADD COLUMN session_id TEXT;

-- What waits is a JSON list of messages, NULL without any.
CREATE TABLE chat_sessions (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    owner TEXT NOT NULL,
    agent TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('idle', 'running', 'input-required')),
    head BIGINT NOT NULL DEFAULT 0,
    hash TEXT NOT NULL DEFAULT '',
    envelope_id TEXT,
    waiting TEXT,
    shared TEXT[] NOT NULL,
    calls BIGINT NOT NULL DEFAULT 0,
    input BIGINT NOT NULL DEFAULT 0,
    output BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX chat_sessions_by_time ON chat_sessions (updated_at, id);
CREATE INDEX chat_sessions_waiting ON chat_sessions (updated_at) WHERE state = 'idle' AND waiting IS NOT NULL;

-- The body is JSON. Hop and step are those of the envelope that wrote it.
CREATE TABLE chat_entries (
    session_id TEXT NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
    n BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    envelope_id TEXT,
    hop BIGINT,
    step BIGINT,
    body TEXT NOT NULL,
    PRIMARY KEY (session_id, n)
);

-- Proposal, decision and outcome are JSON. The envelope that goes on is kept until somebody has decided.
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
    envelope_id TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('waiting', 'rejected', 'expired', 'approved', 'claimed', 'done')),
    proposal TEXT NOT NULL,
    requester TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    envelope BYTEA,
    decision TEXT,
    claimed_at TIMESTAMPTZ,
    outcome TEXT,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX operations_by_time ON operations (created_at, id);
CREATE INDEX operations_by_phase ON operations (phase, created_at, id);
CREATE INDEX operations_by_session ON operations (session_id, created_at, id);
CREATE INDEX operations_by_expiry ON operations (expires_at) WHERE phase = 'waiting';
