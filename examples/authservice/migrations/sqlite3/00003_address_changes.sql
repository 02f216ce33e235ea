-- +goose Up
ALTER TABLE users ADD COLUMN changes_until BIGINT; -- when the changes of address so far no longer count; NULL: there were none

-- +goose Down
ALTER TABLE users DROP COLUMN changes_until;
