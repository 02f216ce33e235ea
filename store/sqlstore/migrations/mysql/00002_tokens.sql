-- +goose Up
-- The table now has the tokens of all purposes. Those that an earlier version adds are verifications.
ALTER TABLE flowhook_verifications
    ADD COLUMN purpose varbinary(255) NOT NULL DEFAULT 'verification',
    ADD COLUMN data varbinary(4096);

CREATE TABLE flowhook_attempts (
    recipient  binary(32) NOT NULL PRIMARY KEY, -- SHA-256 of purpose, identity and address
    since      bigint NOT NULL,                 -- issued_at of the newest token
    attempts   bigint NOT NULL,                 -- since then
    expires_at bigint NOT NULL,                 -- of the last token to expire, or the time of an attempt
    INDEX flowhook_attempts_expiry (expires_at)
) ENGINE=InnoDB;

-- +goose Down
DROP TABLE flowhook_attempts;
-- Without its purpose, a token would be taken for a verification.
DELETE FROM flowhook_verifications WHERE purpose <> 'verification';
ALTER TABLE flowhook_verifications
    DROP COLUMN data,
    DROP COLUMN purpose;
