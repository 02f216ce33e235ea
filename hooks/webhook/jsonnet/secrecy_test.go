package jsonnet_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canary = "canary-7391"

// The text of an error could quote ctx in each of these.
func TestBody_error_has_nothing_from_ctx(t *testing.T) {
	ctx := map[string]any{"s": canary, "n": 7391, "o": map[string]any{canary: canary}}
	for _, snippet := range []string{
		`error ctx.s`, `error ctx`, `error "cancel" + ctx.s`,
		`assert false : ctx.s; 1`, `assert ctx.s == "" : ctx; 1`,
		`ctx[ctx.s]`, `ctx.o.missing`, `ctx.s.x`, `ctx.s[ctx.n]`,
		`ctx.s + ctx.missing`, `ctx.s * 2`, `ctx.n(1)`, `-ctx.s`,
		`{ [ctx.s]: error "x" }`, `{ [ctx.s]: function(x) x }`, `{ [ctx.s]: 1, [ctx.s]: 2 }`, `{ [ctx.n]: 1 }`,
		`[error x for x in [ctx.s]]`, `{ assert false : ctx.s }`, `{ [ctx.s]: self[ctx.s] }`,
		`std.parseInt(ctx.s)`, `std.parseHex(ctx.s)`, `std.parseJson(ctx.s)`, `std.parseYaml("[" + ctx.s)`,
		`std.assertEqual(ctx.s, 1)`, `std.format(ctx.s + "%d", ["x"])`, `"%d" % ctx.s`,
		`std.trace(ctx.s, error "x")`, `std.mod(ctx.s, 2)`, `std.base64Decode(ctx.s)`, `std.range(1, ctx.s)`,
		`std.manifestIni(ctx)`, `std.manifestToml(ctx.s)`, `std[ctx.s]`, `std.sort([ctx.s, ctx.n])`,
		`local s = std; s.extVar(ctx.s)`, `local s = std; s.native(ctx.s)(1)`, `local f(x) = f(x) + ctx.s; f(ctx.s)`,
	} {
		render, err := jsonnet.Body(encode("function(ctx)\n" + snippet))
		require.NoError(t, err, snippet)
		got, err := render(ctx)
		require.Error(t, err, "%s: %s", snippet, got)
		assert.NotContains(t, err.Error(), "7391", snippet)
		assert.NotContains(t, errors.Unwrap(err).Error(), "7391", snippet)
	}
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { return nil, errors.New(canary) }

func TestBody_wrong_ctx_is_not_quoted(t *testing.T) {
	render, err := jsonnet.Body(encode(`function(ctx) ctx`))
	require.NoError(t, err)
	for _, ctx := range []any{
		failing{}, map[string]any{canary: func() {}}, json.RawMessage(canary), json.Number("canary7391"),
		json.RawMessage("7391e7391"), map[string]any{"a": json.RawMessage(`{"a": canary}`)},
	} {
		_, err := render(ctx)
		require.ErrorContains(t, err, "jsonnet: base64: ctx ")
		assert.NotContains(t, err.Error(), "7391")
		assert.NotContains(t, err.Error(), "canary")
	}
}

func TestBody_trace_is_discarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	file, err := os.Create(path)
	require.NoError(t, err)
	before := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = before }()
	renders(t, encode(`std.trace("canary", 1)`), "1\n")
	require.NoError(t, file.Close())
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Empty(t, written)
}
