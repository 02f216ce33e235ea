// Package sqlc has the input of sqlc's generator. The generator needs a C compiler.
package sqlc

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate
