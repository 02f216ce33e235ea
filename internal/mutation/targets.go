package main

import (
	"fmt"
	"path"
	"slices"
)

const module = "github.com/flowhook/flowhook"

// A target is a package whose code is changed, with the tests that have to notice, the quickest first.
type target struct {
	dir   string
	files []string
	steps []step
}

// slow are the root package's tests that take long, and have to do with what is changed; others are of how a file is read,
// and of the README's programs.
const (
	slow   = "TestAllOrNothing|TestChangedCookiesAreAnonymous|TestOfManyLoginsAtOnceOneSessionSurvives|TestReloadsUnderLoad"
	others = "TestEveryMisspelling|TestHostileYAML|TestREADMECode"
)

// ofRoot are the steps for code that the root package's tests are about.
var ofRoot = []step{
	{name: "the root package's quick tests", args: []string{"-timeout=1m", "-skip=" + slow + "|" + others, "."}},
	{name: "the root package's slow tests", args: []string{"-timeout=3m", "-run=" + slow, "."}},
}

// targets are all that is changed. Those of sqlstore fail before anything is changed where a database is missing.
var targets = []target{
	{
		dir:   "store/memstore",
		files: []string{"lock.go", "memstore.go", "table.go", "tx.go"},
		steps: []step{{name: "its own tests", args: []string{"-timeout=30s", "./store/memstore"}}},
	},
	{
		dir: "store/sqlstore",
		files: []string{"conflict.go", "connection.go", "dialect.go", "finish.go", "lend.go", "mariadb.go", "postgres.go",
			"queries.go", "sessions.go", "sqlite.go", "sqlstore.go", "statement.go", "transaction.go", "verifications.go"},
		steps: []step{
			{name: "its own tests", args: []string{"-timeout=30s", "./store/sqlstore"}},
			{
				name: "SQLite", module: "internal/sqltest",
				env:  []string{"FLOWHOOK_POSTGRES=", "FLOWHOOK_MARIADB=", "FLOWHOOK_NO_SKIP="},
				args: []string{"-timeout=1m", "-skip=TestFaults", "."},
			},
			{
				name: "PostgreSQL and MariaDB", module: "internal/sqltest",
				env:  []string{"FLOWHOOK_NO_SKIP=1"},
				args: []string{"-timeout=2m", "-skip=TestFaults|TestIndexes|TestMigrations|TestProcesses|TestStall|/SQLite", "."},
			},
			{
				name: "faults", module: "internal/sqltest",
				env:  []string{"FLOWHOOK_NO_SKIP=1"},
				args: []string{"-timeout=2m", "-run=TestFaults", "."},
			},
			{
				name: "stalls", module: "internal/sqltest",
				env:  []string{"FLOWHOOK_NO_SKIP=1"},
				args: []string{"-timeout=2m", "-run=TestStall", "."},
			},
		},
	},
	{
		dir: ".",
		files: []string{"address.go", "answer.go", "chain.go", "commit.go", "courier.go", "errors.go", "reload.go", "exchange.go", "pipeline.go", "revoke.go", "session.go",
			"verify.go"},
		steps: ofRoot,
	},
	{dir: "internal/letter", files: []string{"letter.go"}, steps: ofRoot},
	{dir: "internal/stage", files: []string{"stage.go"}, steps: ofRoot},
	{dir: "internal/token", files: []string{"token.go"}, steps: ofRoot},
}

// find gives the target of a package, or the part of it that is one file.
func find(place string) (target, error) {
	for _, p := range targets {
		if p.dir == place {
			return p, nil
		}
		if dir, file := path.Split(place); path.Clean(dir) == p.dir && slices.Contains(p.files, file) {
			p.files = []string{file}
			return p, nil
		}
	}
	return target{}, fmt.Errorf("nothing is known of %q", place)
}
