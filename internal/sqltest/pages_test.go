package sqltest

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files that are copied from the pages in docs")

// blocks returns the code blocks of a page, by language.
func blocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", page))
	require.NoError(t, err)
	parts := strings.Split("\n"+string(text), "\n```")
	require.Equal(t, 1, len(parts)%2, "the last block has no end")
	all := map[string][]string{}
	for i := 1; i < len(parts); i += 2 {
		language, code, _ := strings.Cut(parts[i], "\n")
		all[language] = append(all[language], code+"\n")
	}
	return all
}

// requireFile asserts that a file is what a page shows. With -update, it writes the file first.
func requireFile(t *testing.T, name, shown string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(shown), 0o644))
	}
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, shown, string(text), "%s differs from the page; write it with go test . -run Pages -update", name)
}

// hookHeader is the part of pagehook.go that precedes the hook of docs/hooks.md.
const hookHeader = `// Package pagehook has the hook of docs/hooks.md, for the registrations in the other pages.
package pagehook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

// AllowDomains is the factory of the hook.
var AllowDomains flowhook.HookFactory = allowDomains

`

// TestPages asserts that the code in the docs is the code of the packages that the tests run, byte
// for byte.
func TestPages(t *testing.T) {
	running := blocks(t, "docs/postgresql.md")
	requireFile(t, "onpostgres/onpostgres.go", strings.Join(running["go"], "\n"))

	own := blocks(t, "docs/own-store.md")
	require.Len(t, own["sql"], 1)
	requireFile(t, "ownstore/schema.sql", own["sql"][0])
	require.Greater(t, len(own["go"]), 2)
	contract, err := os.ReadFile("../../store.go")
	require.NoError(t, err)
	method := strings.TrimSuffix(strings.TrimPrefix(own["go"][0], "type Store interface {"), "}\n")
	require.Regexp(t, `(?s)\ntype Store interface \{[^}]*`+regexp.QuoteMeta(method)+`\}`, string(contract))
	requireFile(t, "ownstore/ownstore.go", own["go"][1])
	tests, err := os.ReadFile("ownstore/ownstore_test.go")
	require.NoError(t, err)
	for _, code := range own["go"][2:] {
		require.Contains(t, string(tests), "\n\n"+code)
	}
	hook := slices.DeleteFunc(blocks(t, "docs/hooks.md")["go"], func(code string) bool {
		return !strings.HasPrefix(code, "func allowDomains(")
	})
	require.Len(t, hook, 1)
	requireFile(t, "pagehook/pagehook.go", hookHeader+hook[0])
	t.Logf("docs: %d blocks of code are compiled and tested as shown",
		len(running["go"])+len(own["go"])+len(own["sql"]))
}
