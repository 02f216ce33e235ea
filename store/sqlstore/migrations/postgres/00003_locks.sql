-- +goose Up
-- The rows that transactions lock to wait for each other if the store's option RowLocks is set: an
-- identity's is that of its hash.
CREATE TABLE flowhook_locks (stripe smallint PRIMARY KEY);
INSERT INTO flowhook_locks (stripe) SELECT generate_series(0, 1023);

-- +goose Down
DROP TABLE flowhook_locks;
