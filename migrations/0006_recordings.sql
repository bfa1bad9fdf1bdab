-- What connects and launches did, step by step, for whoever has to find out why one failed. Steps hold
-- names, counts and words of ours: no token, code, secret, identifier or text of an EHR.
CREATE TABLE recordings (
    id          TEXT PRIMARY KEY,
    practice_id TEXT NOT NULL REFERENCES practices (id),
    provider_id TEXT NOT NULL,
    kind        TEXT NOT NULL,
    started_at  BIGINT NOT NULL,
    -- 'ok' or a code of the catalogue; NULL while the EHR is asked.
    outcome     TEXT,
    -- The requests that it took, separated by spaces.
    request_ids TEXT NOT NULL,
    steps       TEXT NOT NULL
);
CREATE INDEX recordings_by_practice ON recordings (practice_id, id);

ALTER TABLE oauth_flows ADD COLUMN recording_id TEXT NOT NULL DEFAULT '';
