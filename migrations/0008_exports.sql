-- Bulk exports: what was asked for, where each stands, its files, and the resources that came.

-- Tokens of backend services (SMART Backend Services): one for each provider and set of scopes. They are no
-- grants of a person, and nothing of a launch or a connection.
CREATE TABLE service_tokens (
    practice_id    TEXT NOT NULL REFERENCES practices (id),
    provider_id    TEXT NOT NULL,
    scopes         TEXT NOT NULL,
    issuer         TEXT NOT NULL,
    token_endpoint TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    scopes_granted TEXT,
    access_token   BYTEA,
    obtained_at    BIGINT NOT NULL DEFAULT 0,
    expires_at     BIGINT NOT NULL DEFAULT 0,
    -- Who asks for a token now, and until when; the fence counts the takers.
    lease_until    BIGINT NOT NULL DEFAULT 0,
    lease_fence    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (practice_id, provider_id, scopes)
);

-- Where resources come from. The number keeps their rows and index short.
CREATE TABLE resource_sources (
    id          BIGINT PRIMARY KEY,
    practice_id TEXT NOT NULL REFERENCES practices (id),
    provider_id TEXT NOT NULL,
    fhir_base   TEXT NOT NULL,
    UNIQUE (practice_id, provider_id, fhir_base)
);

CREATE TABLE exports (
    id               TEXT PRIMARY KEY,
    -- Counts exports: what a later one says wins where the EHR gives no times.
    number           BIGINT NOT NULL UNIQUE,
    practice_id      TEXT NOT NULL REFERENCES practices (id),
    provider_id      TEXT NOT NULL,
    source           BIGINT NOT NULL REFERENCES resource_sources (id),
    -- The state by its name, and the whole life with its data, in JSON.
    state            TEXT NOT NULL,
    life             TEXT NOT NULL,
    -- What was asked for, in JSON, and by whom.
    request          TEXT NOT NULL,
    requested_by     TEXT NOT NULL,
    paused           BIGINT NOT NULL DEFAULT 0,
    -- Somebody wants it to end.
    cancel_asked     BIGINT NOT NULL DEFAULT 0,
    -- What the EHR says of its progress.
    progress         TEXT,
    transaction_time TEXT,
    -- When something is to be done next, and why then.
    next_at          BIGINT NOT NULL,
    next_why         TEXT,
    -- Until when the EHR keeps the files.
    expires_at       BIGINT,
    created_at       BIGINT NOT NULL,
    finished_at      BIGINT,
    -- Who works on it, and until when; the fence counts the takers.
    lease_until      BIGINT NOT NULL DEFAULT 0,
    lease_fence      BIGINT NOT NULL DEFAULT 0,
    -- Counts changes: whoever has seen this number has seen everything.
    version          BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX exports_of_practice ON exports (practice_id, number);
CREATE INDEX exports_due ON exports (next_at) WHERE finished_at IS NULL;

CREATE TABLE export_files (
    export_id      TEXT NOT NULL REFERENCES exports (id),
    number         BIGINT NOT NULL,
    -- Of which page of the manifest.
    page           BIGINT NOT NULL,
    -- 'output', 'deleted' or 'error'.
    kind           TEXT NOT NULL,
    -- The resource type that the manifest names; NULL in organized output, where a file has several.
    type           TEXT,
    url            TEXT NOT NULL,
    -- Whether it wants the access token (the manifest's requiresAccessToken).
    needs_token    BIGINT NOT NULL DEFAULT 1,
    -- Lines and bytes as the manifest says, if it does.
    expected_lines BIGINT,
    expected_bytes BIGINT,
    -- 'pending', 'done' or 'failed'.
    state          TEXT NOT NULL,
    attempts       BIGINT NOT NULL DEFAULT 0,
    next_at        BIGINT NOT NULL DEFAULT 0,
    -- How far it is stored: bytes (uncompressed) and lines, rows and refused lines of these.
    bytes          BIGINT NOT NULL DEFAULT 0,
    lines          BIGINT NOT NULL DEFAULT 0,
    rows           BIGINT NOT NULL DEFAULT 0,
    rejected       BIGINT NOT NULL DEFAULT 0,
    -- Rows per type in JSON, where the type is not known from the manifest.
    counts         TEXT,
    -- Bytes that came over the network in all, repeats included.
    fetched        BIGINT NOT NULL DEFAULT 0,
    -- What lets a later request go on where this one stopped: a strong ETag, or a date.
    validator      TEXT,
    -- Why it failed, or is tried again: a code of the catalogue, and a word of ours on it.
    problem        TEXT,
    detail         TEXT,
    PRIMARY KEY (export_id, number)
);

-- Lines that were not taken in.
CREATE TABLE export_rejects (
    export_id TEXT NOT NULL REFERENCES exports (id),
    file      BIGINT NOT NULL,
    line      BIGINT NOT NULL,
    reason    TEXT NOT NULL,
    bytes     BIGINT NOT NULL,
    PRIMARY KEY (export_id, file, line)
);

-- What the EHR says about the export itself (OperationOutcome), grouped.
CREATE TABLE export_outcomes (
    export_id TEXT NOT NULL REFERENCES exports (id),
    file      BIGINT NOT NULL,
    severity  TEXT NOT NULL,
    code      TEXT NOT NULL,
    text      TEXT NOT NULL,
    times     BIGINT NOT NULL,
    PRIMARY KEY (export_id, file, severity, code, text)
);

-- The resources, as they were received. The newest version of each; a deleted one stays without its body.
-- (SQLite: a table with row ids and an index. WITHOUT ROWID would put every body beside its key.)
CREATE TABLE resources (
    source     BIGINT NOT NULL,
    type       TEXT NOT NULL,
    id         TEXT NOT NULL,
    -- meta.lastUpdated in milliseconds; NULL where the EHR gives none.
    updated_at BIGINT,
    -- meta.versionId.
    version    TEXT,
    -- 1 where the EHR sent some elements only (SUBSETTED).
    partial    BIGINT NOT NULL,
    -- exports.number of the export that wrote it.
    export_no  BIGINT NOT NULL,
    deleted_at BIGINT,
    body       TEXT
);
CREATE UNIQUE INDEX resources_key ON resources (source, type, id);
