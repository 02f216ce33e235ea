-- +goose Up
CREATE TABLE flowhook_sessions (
    id               text NOT NULL PRIMARY KEY,
    identity_id      text NOT NULL,
    authenticated_at integer NOT NULL, -- microseconds since 1970, as all times here
    issued_at        integer NOT NULL,
    expires_at       integer NOT NULL
) WITHOUT ROWID;
CREATE INDEX flowhook_sessions_identity ON flowhook_sessions (identity_id, issued_at);
CREATE INDEX flowhook_sessions_expiry ON flowhook_sessions (expires_at);

CREATE TABLE flowhook_verifications (
    hash        blob NOT NULL PRIMARY KEY,
    recipient   blob NOT NULL, -- SHA-256 of identity and address
    identity_id text NOT NULL,
    via         text NOT NULL,
    address     text NOT NULL,
    verified    integer NOT NULL,
    issued_at   integer NOT NULL,
    expires_at  integer NOT NULL,
    used        integer NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX flowhook_verifications_recipient ON flowhook_verifications (recipient, issued_at);
CREATE INDEX flowhook_verifications_expiry ON flowhook_verifications (expires_at);

-- +goose Down
DROP TABLE flowhook_verifications;
DROP TABLE flowhook_sessions;
