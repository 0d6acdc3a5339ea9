-- Fan-outs: how deep an envelope is below the one that was sent, and, while the end of one waits for its children, how many
-- have not ended and how many have failed.
ALTER TABLE envelopes
    ADD COLUMN depth INT NOT NULL DEFAULT 0,
    ADD COLUMN children_open BIGINT,
    ADD COLUMN children_failed BIGINT NOT NULL DEFAULT 0;
