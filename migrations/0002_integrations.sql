-- A practice's settings, its secrets, its connections, and connects under way.
CREATE TABLE practice_settings (
    practice_id      TEXT PRIMARY KEY REFERENCES practices (id),
    -- The customer's JSON. Secrets are in vault_secrets, never here.
    ehr_integrations TEXT NOT NULL,
    revision         BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);

CREATE TABLE vault_secrets (
    practice_id TEXT NOT NULL REFERENCES practices (id),
    provider_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    sealed      BYTEA NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (practice_id, provider_id, name)
);

CREATE TABLE connections (
    id                  TEXT PRIMARY KEY,
    practice_id         TEXT NOT NULL REFERENCES practices (id),
    provider_id         TEXT NOT NULL,
    status              TEXT NOT NULL,
    issuer              TEXT NOT NULL,
    fhir_base           TEXT NOT NULL,
    token_endpoint      TEXT NOT NULL,
    revocation_endpoint TEXT,
    client_id           TEXT NOT NULL,
    auth_method         TEXT NOT NULL,
    scopes_requested    TEXT NOT NULL,
    -- NULL when the token answer had no scope: unknown, not "as requested".
    scopes_granted      TEXT,
    patient             TEXT,
    fhir_user           TEXT,
    access_token        BYTEA,
    refresh_token       BYTEA,
    expires_at          BIGINT,
    connected_at        BIGINT NOT NULL,
    refreshed_at        BIGINT,
    last_problem        TEXT,
    capabilities        TEXT,
    capabilities_at     BIGINT,
    -- Who renews the token now, and until when; the fence counts the takers.
    lease_until         BIGINT NOT NULL DEFAULT 0,
    lease_fence         BIGINT NOT NULL DEFAULT 0,
    UNIQUE (practice_id, provider_id)
);

-- A connect between our redirect and the EHR's answer, by the hash of its state.
CREATE TABLE oauth_flows (
    state_hash   TEXT PRIMARY KEY,
    practice_id  TEXT NOT NULL REFERENCES practices (id),
    provider_id  TEXT NOT NULL,
    member_id    TEXT,
    cookie_hash  TEXT NOT NULL,
    sealed       BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);

-- Where the installation's key may sign for a practice.
CREATE TABLE signing_approvals (
    practice_id    TEXT NOT NULL REFERENCES practices (id),
    issuer         TEXT NOT NULL,
    token_endpoint TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    approved_at    BIGINT NOT NULL,
    PRIMARY KEY (practice_id, issuer, token_endpoint, client_id)
);
