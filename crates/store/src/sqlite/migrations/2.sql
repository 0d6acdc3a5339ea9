-- Fan-outs: how deep an envelope is below the one that was sent, and, while the end of one waits for its children, how many
-- have not ended and how many have failed.
ALTER TABLE envelopes ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE envelopes ADD COLUMN children_open INTEGER;
ALTER TABLE envelopes ADD COLUMN children_failed INTEGER NOT NULL DEFAULT 0;
