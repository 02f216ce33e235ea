-- +goose Up
CREATE TABLE flowhook_sessions (
    id               text COLLATE "C" PRIMARY KEY,
    identity_id      text COLLATE "C" NOT NULL,
    authenticated_at bigint NOT NULL, -- microseconds since 1970, as all times here
    issued_at        bigint NOT NULL,
    expires_at       bigint NOT NULL
);
CREATE INDEX flowhook_sessions_identity ON flowhook_sessions (identity_id, issued_at);
CREATE INDEX flowhook_sessions_expiry ON flowhook_sessions (expires_at);

CREATE TABLE flowhook_verifications (
    hash        bytea PRIMARY KEY,
    recipient   bytea NOT NULL, -- SHA-256 of identity and address
    identity_id text NOT NULL,
    via         text NOT NULL,
    address     text NOT NULL,
    verified    boolean NOT NULL,
    issued_at   bigint NOT NULL,
    expires_at  bigint NOT NULL,
    used        boolean NOT NULL DEFAULT false
);
CREATE INDEX flowhook_verifications_recipient ON flowhook_verifications (recipient, issued_at);
CREATE INDEX flowhook_verifications_expiry ON flowhook_verifications (expires_at);

-- +goose Down
DROP TABLE flowhook_verifications;
DROP TABLE flowhook_sessions;
