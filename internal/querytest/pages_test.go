package querytest

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files that are copied from docs/queries.md")

// files are the files in queries, by the section of the page that has their code.
var files = map[string]string{
	"Registration":           "register.go",
	"database/sql":           "databasesql.go",
	"sqlc on database/sql":   "sqlc.go",
	"pgx":                    "pgx.go",
	"sqlc on pgx":            "sqlcpgx.go",
	"GORM":                   "gorm.go",
	"ent":                    "ent.go",
	"Bun":                    "bun.go",
	"Reading":                "reading.go",
	"When a statement fails": "savepoint.go",
	"Transactions that the store did not open": "transaction.go",
}

// TestPage asserts that the code in docs/queries.md is the code of the package queries, byte for
// byte.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/queries.md")
	require.NoError(t, err)
	code := regexp.MustCompile("(?s)\n```go\n(.*?)\n```")
	shown := map[string]bool{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		for _, block := range code.FindAllStringSubmatch(text, -1) {
			require.NotEmpty(t, files[title], "the section %q has code, but no file", title)
			require.False(t, shown[title], "the section %q has two blocks of code", title)
			shown[title] = true
			requireFile(t, "queries/"+files[title], "package queries\n\n"+block[1]+"\n")
		}
	}
	require.Len(t, shown, len(files))
	require.Equal(t, len(files), strings.Count(string(page), "\n```")/2, "a block is not Go")
}

// requireFile asserts that a file is what the page shows. With -update, it writes the file first.
func requireFile(t *testing.T, name, shown string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(shown), 0o644))
	}
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, shown, string(text), "%s differs from the page; write it with go test . -run Page -update", name)
}
