-- EHR launches: who comes by one, what it is about, and what a practice allows.

-- 'connect' or 'launch': which of the two the EHR's answer finishes.
ALTER TABLE oauth_flows ADD COLUMN kind TEXT NOT NULL DEFAULT 'connect';

-- The issuers that a practice's providers launch from: finds the practice of a launch whose address
-- does not name it.
CREATE TABLE launch_issuers (
    practice_id TEXT NOT NULL REFERENCES practices (id),
    provider_id TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    PRIMARY KEY (practice_id, provider_id, issuer)
);
CREATE INDEX launch_issuers_by_issuer ON launch_issuers (issuer);

CREATE TABLE launch_settings (
    practice_id     TEXT PRIMARY KEY REFERENCES practices (id),
    auto_approve    BIGINT NOT NULL,
    allow_anonymous BIGINT NOT NULL,
    -- Origins, separated by spaces.
    frame_origins   TEXT NOT NULL,
    updated_at      BIGINT NOT NULL
);

-- People whom an EHR vouches for. They are no members: they have no password and see launches only.
CREATE TABLE clinicians (
    id           TEXT PRIMARY KEY,
    practice_id  TEXT NOT NULL REFERENCES practices (id),
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    name         TEXT,
    fhir_user    TEXT,
    status       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    UNIQUE (practice_id, issuer, subject)
);

-- One row for each launch. It ends with its token.
CREATE TABLE launch_sessions (
    id                  TEXT PRIMARY KEY,
    practice_id         TEXT NOT NULL REFERENCES practices (id),
    provider_id         TEXT NOT NULL,
    -- Absent when the EHR did not say who it is.
    clinician_id        TEXT REFERENCES clinicians (id),
    cookie_hash         TEXT NOT NULL,
    issuer              TEXT NOT NULL,
    fhir_base           TEXT NOT NULL,
    token_endpoint      TEXT NOT NULL,
    revocation_endpoint TEXT,
    client_id           TEXT NOT NULL,
    auth_method         TEXT NOT NULL,
    scopes_requested    TEXT NOT NULL,
    scopes_granted      TEXT,
    patient             TEXT,
    encounter           TEXT,
    intent              TEXT,
    need_patient_banner BIGINT NOT NULL,
    smart_style_url     TEXT,
    tenant              TEXT,
    fhir_context        TEXT,
    access_token        BYTEA,
    refresh_token       BYTEA,
    started_at          BIGINT NOT NULL,
    expires_at          BIGINT NOT NULL,
    ended_at            BIGINT,
    end_reason          TEXT
);
CREATE INDEX launch_sessions_by_practice ON launch_sessions (practice_id, id);
