-- +goose Up
-- The table now has the tokens of all purposes. Those that an earlier version adds are verifications.
ALTER TABLE flowhook_verifications
    ADD COLUMN purpose text COLLATE "C" NOT NULL DEFAULT 'verification',
    ADD COLUMN data bytea; -- at most 4 KiB

CREATE TABLE flowhook_attempts (
    recipient  bytea PRIMARY KEY, -- SHA-256 of purpose, identity and address
    since      bigint NOT NULL,   -- issued_at of the newest token
    attempts   bigint NOT NULL,   -- since then
    expires_at bigint NOT NULL    -- of the last token to expire, or the time of an attempt
);
CREATE INDEX flowhook_attempts_expiry ON flowhook_attempts (expires_at);

-- +goose Down
DROP TABLE flowhook_attempts;
-- Without its purpose, a token would be taken for a verification.
DELETE FROM flowhook_verifications WHERE purpose <> 'verification';
ALTER TABLE flowhook_verifications
    DROP COLUMN data,
    DROP COLUMN purpose;
