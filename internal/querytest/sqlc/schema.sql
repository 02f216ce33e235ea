CREATE TABLE users (
    id    text PRIMARY KEY,
    email text NOT NULL UNIQUE
);
