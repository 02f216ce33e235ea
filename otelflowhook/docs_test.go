package otelflowhook_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// asInDocs contains the code that docs/hooks.md shows.
func asInDocs(cfg *flowhook.Config, store flowhook.Store) (pipeline *flowhook.Pipeline, err error) {
	build := func() error {
		// begin
		wrap, err := otelflowhook.Wrap(otelflowhook.Options{}) // otel's global providers
		if err != nil {
			return err
		}
		pipeline, err = flowhook.New(cfg, flowhook.Options{Store: store, Wrap: wrap})
		// end
		return err
	}
	return pipeline, build()
}

func TestHooksPage(t *testing.T) {
	_, err := asInDocs(&flowhook.Config{}, memstore.New())
	require.NoError(t, err)
	source, err := os.ReadFile("docs_test.go")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(source), "// begin\n")
	block, _, found := strings.Cut(rest, "\t\t// end\n")
	require.True(t, found)
	page, err := os.ReadFile("../docs/hooks.md")
	require.NoError(t, err)
	block = strings.ReplaceAll("\n"+block, "\n\t\t", "\n")[1:]
	require.Contains(t, string(page), "<!-- otel -->\n```go\n"+block+"```\n")
}
