-- +goose Up
ALTER TABLE audit ADD COLUMN account BLOB; -- keyed hash of the email address; NULL if there was no valid one
ALTER TABLE audit ADD COLUMN address TEXT;  -- the IP address of the client; NULL if unknown or deleted
CREATE INDEX audit_account ON audit (account, at);
CREATE INDEX audit_address ON audit (at) WHERE address IS NOT NULL; -- for the cleanup

CREATE TABLE keys (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
);

-- +goose Down
DROP TABLE keys;
DROP INDEX audit_address;
DROP INDEX audit_account;
ALTER TABLE audit DROP COLUMN address;
ALTER TABLE audit DROP COLUMN account;
