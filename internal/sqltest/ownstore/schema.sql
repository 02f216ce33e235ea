CREATE TABLE users (
    id       text PRIMARY KEY,
    email    text NOT NULL UNIQUE,
    verified boolean NOT NULL DEFAULT false
);

CREATE TABLE sessions (
    id               text PRIMARY KEY,
    user_id          text NOT NULL REFERENCES users ON DELETE CASCADE,
    authenticated_at timestamptz NOT NULL,
    issued_at        timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL
);
CREATE INDEX ON sessions (user_id);
CREATE INDEX ON sessions (expires_at);

CREATE TABLE verifications (
    hash        bytea PRIMARY KEY,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    via         text NOT NULL,
    address     text NOT NULL,
    address_key text NOT NULL, -- flowhook.Address.Key: the address without its letter case
    verified    boolean NOT NULL,
    issued_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used        boolean NOT NULL DEFAULT false
);
CREATE INDEX ON verifications (user_id, issued_at);
CREATE INDEX ON verifications (expires_at);
