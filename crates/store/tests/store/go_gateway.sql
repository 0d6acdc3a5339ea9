-- Tables as the Go system's gateway made them (migrations 001 to 004), written from its contract.
CREATE TABLE envelopes (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'unknown')),
    route_actors TEXT[] NOT NULL,
    route_current INTEGER NOT NULL DEFAULT 0,
    payload JSONB,
    result JSONB,
    error TEXT,
    timeout_sec INTEGER,
    deadline TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    progress_percent DECIMAL(5,2) DEFAULT 0.00 CHECK (progress_percent >= 0 AND progress_percent <= 100),
    current_actor_idx INTEGER,
    current_actor_name TEXT,
    message TEXT,
    actors_completed INTEGER DEFAULT 0,
    total_actors INTEGER DEFAULT 0,
    parent_id TEXT REFERENCES envelopes (id)
);
CREATE INDEX idx_envelopes_status ON envelopes (status);
CREATE INDEX idx_envelopes_created_at ON envelopes (created_at);
CREATE INDEX idx_envelopes_updated_at ON envelopes (updated_at);
CREATE INDEX idx_envelopes_deadline ON envelopes (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX idx_envelopes_progress ON envelopes (progress_percent) WHERE progress_percent < 100;
CREATE INDEX idx_envelopes_parent_id ON envelopes (parent_id);
CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TABLE envelope_updates (
    id BIGSERIAL PRIMARY KEY,
    envelope_id TEXT NOT NULL REFERENCES envelopes (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    message TEXT,
    result JSONB,
    error TEXT,
    timestamp TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    progress_percent DECIMAL(5,2),
    actor TEXT,
    envelope_state TEXT CHECK (envelope_state IN ('received', 'processing', 'completed'))
);
CREATE INDEX idx_envelope_updates_envelope_id ON envelope_updates (envelope_id);
CREATE INDEX idx_envelope_updates_timestamp ON envelope_updates (timestamp);

INSERT INTO envelopes (id, status, route_actors, route_current, payload, result, error, timeout_sec, deadline, created_at,
    updated_at, progress_percent, current_actor_idx, current_actor_name, message, actors_completed, total_actors, parent_id)
VALUES
    ('done', 'succeeded', '{a,b}', 0, '{"url": "s3://in/ü.png"}', '{"pages": 3}', NULL, 300, '2026-01-01T00:05:00Z',
        '2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z', 100, 1, 'b', 'Envelope completed successfully', 0, 2, NULL),
    ('half', 'running', '{a,b,c}', 0, '{}', NULL, NULL, NULL, NULL,
        '2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z', 33.33, 1, 'b', 'completed', 0, 3, NULL),
    ('half-1', 'running', '{a,b,c}', 1, NULL, NULL, NULL, NULL, NULL,
        '2026-01-01T00:00:02Z', '2026-01-01T00:00:03Z', NULL, NULL, NULL, NULL, NULL, NULL, 'half'),
    ('broken', 'failed', '{a}', 0, '[1]', '{"error": "x"}', 'x', 300, '2026-01-01T00:05:03Z',
        '2026-01-01T00:00:03Z', '2026-01-01T00:00:04Z', 100, 0, 'a', 'Envelope failed at actor ''a'': x', 0, 1, NULL),
    ('late', 'failed', '{a}', 0, '[1]', NULL, 'envelope timed out', 1, '2026-01-01T00:00:05Z',
        '2026-01-01T00:00:04Z', '2026-01-01T00:00:05Z', 10, 0, 'a', 'received', 0, 1, NULL),
    ('fresh', 'pending', '{a}', 0, '[1]', NULL, NULL, 60, '2026-01-01T00:01:05Z',
        '2026-01-01T00:00:05Z', '2026-01-01T00:00:05Z', 0, 0, '', '', 0, 1, NULL),
    ('lost', 'unknown', '{}', 0, 'null', NULL, NULL, NULL, NULL,
        '2026-01-01T00:00:06Z', '2026-01-01T00:00:06Z', 0, 0, NULL, NULL, 0, 0, NULL);
INSERT INTO envelope_updates (envelope_id, status, message, result, timestamp, progress_percent, actor, envelope_state)
VALUES
    ('done', 'running', 'Sending envelope to first actor', NULL, '2026-01-01T00:00:01Z', 0, NULL, NULL),
    ('done', 'running', 'received', NULL, '2026-01-01T00:00:02Z', 5, 'a', 'received'),
    ('half', 'running', 'received', NULL, '2026-01-01T00:00:02Z', 3.33, 'a', 'received'),
    ('done', 'running', 'completed', NULL, '2026-01-01T00:00:03Z', 100, 'b', 'completed'),
    ('done', 'succeeded', 'Envelope completed successfully', '{"pages": 3}', '2026-01-01T00:01:00Z', 100, NULL, NULL);
CREATE TRIGGER update_envelopes_updated_at BEFORE UPDATE ON envelopes
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
