-- +goose Up
-- Names are VARBINARY: no collation takes two of them for one, and no trailing blank is dropped.
CREATE TABLE flowhook_sessions (
    id               varbinary(255) NOT NULL PRIMARY KEY,
    identity_id      varbinary(1024) NOT NULL,
    authenticated_at bigint NOT NULL, -- microseconds since 1970, as all times here
    issued_at        bigint NOT NULL,
    expires_at       bigint NOT NULL,
    INDEX flowhook_sessions_identity (identity_id, issued_at),
    INDEX flowhook_sessions_expiry (expires_at)
) ENGINE=InnoDB;

CREATE TABLE flowhook_verifications (
    hash        varbinary(255) NOT NULL PRIMARY KEY,
    recipient   binary(32) NOT NULL, -- SHA-256 of identity and address
    identity_id varbinary(1024) NOT NULL,
    via         varbinary(255) NOT NULL,
    address     varbinary(1024) NOT NULL,
    verified    boolean NOT NULL,
    issued_at   bigint NOT NULL,
    expires_at  bigint NOT NULL,
    used        boolean NOT NULL DEFAULT false,
    INDEX flowhook_verifications_recipient (recipient, issued_at),
    INDEX flowhook_verifications_expiry (expires_at)
) ENGINE=InnoDB;

-- The rows that transactions lock to wait for each other: an identity's is that of its hash.
CREATE TABLE flowhook_locks (stripe smallint unsigned NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO flowhook_locks (stripe)
WITH RECURSIVE digits (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM digits WHERE n < 31)
SELECT 32 * high.n + low.n FROM digits AS high, digits AS low;

-- +goose Down
DROP TABLE flowhook_locks;
DROP TABLE flowhook_verifications;
DROP TABLE flowhook_sessions;
