-- The audit trail: rows are added, never changed or removed (triggers in 0004 see to it).
CREATE TABLE audit_events (
    id          TEXT PRIMARY KEY,
    practice_id TEXT,
    at          BIGINT NOT NULL,
    actor       TEXT NOT NULL,
    action      TEXT NOT NULL,
    target      TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    request_id  TEXT NOT NULL
);
CREATE INDEX audit_events_by_practice ON audit_events (practice_id, id);
