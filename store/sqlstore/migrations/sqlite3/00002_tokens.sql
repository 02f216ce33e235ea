-- +goose Up
-- The table now has the tokens of all purposes. Those that an earlier version adds are verifications.
ALTER TABLE flowhook_verifications ADD COLUMN purpose text NOT NULL DEFAULT 'verification';
ALTER TABLE flowhook_verifications ADD COLUMN data blob; -- at most 4 KiB

CREATE TABLE flowhook_attempts (
    recipient  blob NOT NULL PRIMARY KEY, -- SHA-256 of purpose, identity and address
    since      integer NOT NULL,          -- issued_at of the newest token
    attempts   integer NOT NULL,          -- since then
    expires_at integer NOT NULL           -- of the last token to expire, or the time of an attempt
) WITHOUT ROWID;
CREATE INDEX flowhook_attempts_expiry ON flowhook_attempts (expires_at);

-- +goose Down
DROP TABLE flowhook_attempts;
-- Without its purpose, a token would be taken for a verification.
DELETE FROM flowhook_verifications WHERE purpose <> 'verification';
ALTER TABLE flowhook_verifications DROP COLUMN data;
ALTER TABLE flowhook_verifications DROP COLUMN purpose;
