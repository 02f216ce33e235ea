-- +goose Up
-- SQLite has no use for flowhook_locks: one transaction writes at a time.

-- +goose Down
