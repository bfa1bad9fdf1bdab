-- Practices, their members, and how members sign in. Times are milliseconds UTC, booleans 0 or 1,
-- ids UUIDv7 as text; the same text runs on SQLite and PostgreSQL.
CREATE TABLE practices (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    id              TEXT PRIMARY KEY,
    practice_id     TEXT NOT NULL REFERENCES practices (id),
    email           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    role            TEXT NOT NULL,
    password_hash   TEXT NOT NULL,
    totp_sealed     BYTEA,
    totp_enabled_at BIGINT,
    -- The last time step that was accepted: a code works once (RFC 6238 section 5.2).
    totp_last_step  BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL
);
CREATE INDEX members_by_practice ON members (practice_id);

CREATE TABLE recovery_codes (
    member_id TEXT NOT NULL REFERENCES members (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL,
    used_at   BIGINT,
    PRIMARY KEY (member_id, code_hash)
);

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    token_hash   TEXT NOT NULL UNIQUE,
    practice_id  TEXT NOT NULL REFERENCES practices (id),
    member_id    TEXT NOT NULL REFERENCES members (id) ON DELETE CASCADE,
    -- 1 while the second factor is still wanted: such a session may do nothing else.
    totp_pending BIGINT NOT NULL,
    user_agent   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_by_member ON sessions (member_id);

-- Set-up, invitation and password-reset links.
CREATE TABLE one_time_links (
    id          TEXT PRIMARY KEY,
    token_hash  TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    practice_id TEXT REFERENCES practices (id),
    member_id   TEXT REFERENCES members (id) ON DELETE CASCADE,
    email       TEXT,
    role        TEXT,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

-- Failed attempts within a window, by what is limited (an account or an address, hashed).
CREATE TABLE attempts (
    subject      TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL,
    window_start BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY,
    practice_id  TEXT NOT NULL REFERENCES practices (id),
    name         TEXT NOT NULL,
    token_hash   TEXT NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_tokens_by_practice ON api_tokens (practice_id);

-- What a refused form leaves behind: sealed, ten minutes, bound to a session where there is one.
CREATE TABLE form_drafts (
    id_hash    TEXT PRIMARY KEY,
    session_id TEXT,
    sealed     BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
