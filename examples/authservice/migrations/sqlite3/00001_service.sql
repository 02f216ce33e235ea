-- +goose Up
-- Times are microseconds since 1970, as in flowhook's tables.
CREATE TABLE users (
	id            TEXT PRIMARY KEY,
	email         TEXT NOT NULL,
	email_key     TEXT NOT NULL UNIQUE, -- the address in lower case; unique regardless of case
	name          TEXT NOT NULL,
	password_hash TEXT,                 -- NULL if the user signs in only with a provider
	verified_at   BIGINT,               -- NULL if the address is not confirmed
	noticed_at    BIGINT,               -- when the owner was last notified of a registration with the address
	created_at    BIGINT NOT NULL
);

CREATE TABLE oidc_identities (
	issuer     TEXT NOT NULL,
	subject    TEXT NOT NULL,
	user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (issuer, subject)
);
CREATE INDEX oidc_identities_user ON oidc_identities (user_id);

-- What the sessions page shows in addition to flowhook's sessions.
CREATE TABLE sign_ins (
	session_id TEXT PRIMARY KEY,
	client     TEXT NOT NULL, -- "Firefox on Linux"
	expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);

CREATE TABLE devices (
	user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	device    BLOB NOT NULL, -- SHA-256 of the cookie
	client    TEXT NOT NULL,
	last_seen BIGINT NOT NULL,
	PRIMARY KEY (user_id, device)
);
CREATE INDEX devices_last_seen ON devices (last_seen);

CREATE TABLE audit (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	at       BIGINT NOT NULL,
	point    TEXT NOT NULL, -- "login/after/password"
	outcome  TEXT NOT NULL, -- "ok" or the code of an error
	user_id  TEXT,          -- NULL if unknown; no foreign key, because the log outlives the user
	client   TEXT NOT NULL
);
CREATE INDEX audit_user ON audit (user_id, at);
CREATE INDEX audit_at ON audit (at);

-- +goose Down
DROP TABLE audit;
DROP TABLE devices;
DROP TABLE sign_ins;
DROP TABLE oidc_identities;
DROP TABLE users;
