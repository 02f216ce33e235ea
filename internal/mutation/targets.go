package main

import "fmt"

const module = "github.com/flowhook/flowhook"

// A target is a package whose code is changed, with the tests that have to notice, the quickest first.
type target struct {
	dir   string
	files []string
	steps []step
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
		files: []string{"conflict.go", "connection.go", "dialect.go", "lend.go", "sessions.go", "sqlstore.go", "statement.go",
			"transaction.go", "verifications.go"},
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
				args: []string{"-timeout=2m", "-skip=TestFaults|TestIndexes|TestMigrations|TestProcesses|/SQLite", "."},
			},
			{
				name: "faults", module: "internal/sqltest",
				env:  []string{"FLOWHOOK_NO_SKIP=1"},
				args: []string{"-timeout=2m", "-run=TestFaults", "."},
			},
		},
	},
}

func find(dir string) (target, error) {
	for _, p := range targets {
		if p.dir == dir {
			return p, nil
		}
	}
	return target{}, fmt.Errorf("nothing is known of a package %q", dir)
}
