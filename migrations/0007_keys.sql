-- Signing keys of the installation and of practices, who fetches them, and who took what they signed.
CREATE TABLE signing_keys (
    id            TEXT PRIMARY KEY,
    -- Empty for the installation's.
    practice_id   TEXT NOT NULL DEFAULT '',
    kid           TEXT NOT NULL UNIQUE,
    algorithm     TEXT NOT NULL,
    -- The public numbers, in JSON.
    public_key    TEXT NOT NULL,
    -- The private key; NULL once the key is retired.
    sealed        BYTEA,
    created_at    BIGINT NOT NULL,
    activates_at  BIGINT NOT NULL,
    superseded_at BIGINT,
    retires_at    BIGINT
);
CREATE INDEX signing_keys_owner ON signing_keys (practice_id, created_at);

CREATE TABLE jwks_fetches (
    practice_id TEXT NOT NULL,
    ip          TEXT NOT NULL,
    user_agent  TEXT NOT NULL,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    times       BIGINT NOT NULL,
    PRIMARY KEY (practice_id, ip, user_agent)
);

-- The last assertion of a key that an EHR took.
CREATE TABLE key_uses (
    kid         TEXT NOT NULL,
    practice_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (kid, practice_id, provider_id)
);

-- How we prove ourselves, beside auth_method. NULL for grants that were made before.
ALTER TABLE connections ADD COLUMN signing_algorithm TEXT;
ALTER TABLE connections ADD COLUMN auth_reason TEXT;
-- What the EHR lists; NULL where it lists nothing.
ALTER TABLE connections ADD COLUMN scopes_offered TEXT;
-- Since when we have the refresh token.
ALTER TABLE connections ADD COLUMN refresh_token_at BIGINT;
ALTER TABLE launch_sessions ADD COLUMN signing_algorithm TEXT;
-- What an assertion names as its audience where the operator said so; else the token endpoint.
ALTER TABLE signing_approvals ADD COLUMN assertion_audience TEXT;

-- What the EHR said when a provider's connection was last ended from here.
CREATE TABLE revocation_receipts (
    practice_id   TEXT NOT NULL REFERENCES practices (id),
    provider_id   TEXT NOT NULL,
    at            BIGINT NOT NULL,
    -- NULL where the grant had no such token.
    refresh_token TEXT,
    access_token  TEXT,
    PRIMARY KEY (practice_id, provider_id)
);
