-- Tables `envelopes` and `envelope_updates` of the Go system, as its migrations 001 to 004 left them. Their data stay.
-- Whatever other constraints they have on columns that we leave empty are lifted; a repeated ALTER changes nothing.
DROP TRIGGER IF EXISTS update_envelopes_updated_at ON envelopes;

-- A parent may be deleted before its children, or never have been stored.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'envelopes'::regclass AND contype = 'f' LOOP
        EXECUTE format('ALTER TABLE envelopes DROP CONSTRAINT %I', name);
    END LOOP;
END
$$;

UPDATE envelopes SET
    route_actors = coalesce(route_actors, '{}'),
    route_current = coalesce(route_current, 0),
    progress_percent = coalesce(progress_percent, 0),
    current_actor_idx = coalesce(current_actor_idx, 0),
    actors_completed = coalesce(actors_completed, 0),
    total_actors = coalesce(nullif(total_actors, 0), cardinality(route_actors), 0),
    created_at = coalesce(created_at, now()),
    updated_at = coalesce(updated_at, created_at, now())
WHERE route_actors IS NULL OR route_current IS NULL OR progress_percent IS NULL OR current_actor_idx IS NULL
    OR actors_completed IS NULL OR total_actors IS NULL OR total_actors = 0 OR created_at IS NULL OR updated_at IS NULL;

ALTER TABLE envelopes
    ALTER COLUMN payload DROP NOT NULL,
    ALTER COLUMN payload DROP DEFAULT,
    ALTER COLUMN payload TYPE TEXT USING payload::text,
    ALTER COLUMN result DROP NOT NULL,
    ALTER COLUMN result DROP DEFAULT,
    ALTER COLUMN result TYPE TEXT USING result::text,
    ALTER COLUMN error DROP NOT NULL,
    ALTER COLUMN timeout_sec DROP NOT NULL,
    ALTER COLUMN deadline DROP NOT NULL,
    ALTER COLUMN deadline TYPE TIMESTAMPTZ,
    ALTER COLUMN created_at TYPE TIMESTAMPTZ,
    ALTER COLUMN updated_at TYPE TIMESTAMPTZ,
    ALTER COLUMN message DROP NOT NULL,
    ALTER COLUMN current_actor_name DROP NOT NULL,
    ALTER COLUMN parent_id DROP NOT NULL,
    ALTER COLUMN progress_percent TYPE DOUBLE PRECISION,
    ALTER COLUMN progress_percent SET DEFAULT 0,
    ALTER COLUMN progress_percent SET NOT NULL,
    ALTER COLUMN route_current SET DEFAULT 0,
    ALTER COLUMN current_actor_idx SET DEFAULT 0,
    ALTER COLUMN current_actor_idx SET NOT NULL,
    ALTER COLUMN actors_completed SET DEFAULT 0,
    ALTER COLUMN actors_completed SET NOT NULL,
    ALTER COLUMN total_actors SET DEFAULT 0,
    ALTER COLUMN total_actors SET NOT NULL;

ALTER TABLE envelope_updates
    ALTER COLUMN id TYPE BIGINT,
    ALTER COLUMN message DROP NOT NULL,
    ALTER COLUMN result DROP NOT NULL,
    ALTER COLUMN result TYPE TEXT USING result::text,
    ALTER COLUMN error DROP NOT NULL,
    ALTER COLUMN timestamp TYPE TIMESTAMPTZ,
    ALTER COLUMN progress_percent DROP NOT NULL,
    ALTER COLUMN progress_percent TYPE DOUBLE PRECISION,
    ALTER COLUMN actor DROP NOT NULL,
    ALTER COLUMN envelope_state DROP NOT NULL;
