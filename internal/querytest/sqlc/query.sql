-- name: InsertUser :exec
INSERT INTO users (id, email) VALUES ($1, $2);

-- name: CountSessions :one
SELECT count(*) FROM flowhook_sessions WHERE identity_id = $1;
