-- +goose Up
-- flowhook_locks is there since 00001.

-- +goose Down
