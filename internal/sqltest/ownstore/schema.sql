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

CREATE TABLE tokens (
    hash        bytea PRIMARY KEY,
    purpose     text NOT NULL,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    via         text NOT NULL,
    address     text NOT NULL,
    address_key text NOT NULL, -- flowhook.Address.Key: the address without its letter case
    verified    boolean NOT NULL,
    issued_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    data        bytea,
    used        boolean NOT NULL DEFAULT false
);
CREATE INDEX ON tokens (user_id, issued_at);
CREATE INDEX ON tokens (expires_at);

CREATE TABLE attempts (
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose     text NOT NULL,
    via         text NOT NULL,
    address_key text NOT NULL,
    since       timestamptz NOT NULL, -- when the newest token was issued
    attempts    integer NOT NULL,     -- since then
    PRIMARY KEY (user_id, purpose, via, address_key)
);
