-- +goose Up
ALTER TABLE audit ADD COLUMN account BLOB; -- keyed hash of the email address; NULL: there was none, or it was no address
ALTER TABLE audit ADD COLUMN address TEXT;  -- where the request came from; NULL: not known, or not kept any more
CREATE INDEX audit_account ON audit (account, at);
CREATE INDEX audit_address ON audit (at) WHERE address IS NOT NULL; -- what the clean-up looks for

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
