-- +goose Up
ALTER TABLE users ADD COLUMN changes_until BIGINT; -- when the address changes so far no longer count; NULL if there were none

-- +goose Down
ALTER TABLE users DROP COLUMN changes_until;
