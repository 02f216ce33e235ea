package jsonnet_test

import (
	"strings"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBody_refuses_snippet(t *testing.T) {
	rep := strings.Repeat
	for _, test := range []struct{ name, snippet, want string }{
		{"import", "function(ctx)\n  import 'a.jsonnet'", "line 2: imports are not allowed"},
		{"importstr", "{\n a: importstr '/etc/passwd' }", "line 2: imports are not allowed"},
		{"importbin", "\n\nlocal a = importbin '/etc/passwd'; 1", "line 3: imports are not allowed"},
		{"import in a function", "function(ctx) {\n a(x):: [import 'a' for y in x] }", "line 2: imports are"},
		{"external variable", "function(ctx)\n std.extVar('identity')", "line 2: std.extVar is not allowed"},
		{"native function", "std.native('ctx')()", "line 1: std.native is not allowed"},
		{"native function by index", "std['native']('ctx')()", "line 1: std.native is not allowed"},
		{"tailstrict", "local f(x) =\n f(x + 1) tailstrict; f(1)", "line 2: tailstrict is not allowed"},
		{"other parameter", "function(context) {}", `line 1: unknown parameter "context"; write function(ctx)`},
		{"second parameter", "function(ctx,\n other) {}", `line 2: unknown parameter "other"`},
		{"no parameter", "local a = 1;\nfunction() {}", "line 2: no parameter ctx"},
		{"unknown variable", "function(ctx) {\n a: ctxx }", "line 2: Unknown variable: ctxx"},
		{"syntax", "function(ctx) {\n a: 1\n b: 2 }", "line 3: Expected a comma"},
		{"unterminated string", "{\n a: 'b", "line 2: Unterminated String"},
		{"empty", "", "line 1: Unexpected end of file"},
		{"size", rep(" ", 32<<10) + "1", "the snippet is larger than 32 KiB"},
		{"brackets", rep("([{", 334), "the snippet has 1002 brackets, more than 1000"},
		{"depth", rep("!", 501) + "true", "line 1: more than 500 expressions inside each other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := jsonnet.Body(encode(test.snippet))
			require.ErrorContains(t, err, "jsonnet: base64: "+test.want)
		})
	}
}

func TestBody_allows_largest_snippet(t *testing.T) {
	rep := strings.Repeat
	for _, snippet := range []string{
		rep(" ", 32<<10-1) + "1",
		"[" + rep("[],", 999) + "]",
		rep("!", 500) + "true",
	} {
		render, err := jsonnet.Body(encode(snippet))
		require.NoError(t, err)
		_, err = render(nil)
		assert.NoError(t, err)
	}
}

// What the check at load does not see fails in the evaluation.
func TestBody_refuses_alias_of_std(t *testing.T) {
	render, err := jsonnet.Body(encode("local s = std;\n s.extVar('identity')"))
	require.NoError(t, err)
	_, err = render(nil)
	assert.ErrorContains(t, err, "jsonnet: base64: line 2: the evaluation failed")
}

// A syntax error quotes names, but no text and no number, which could be a password.
func TestBody_syntax_error_has_no_secret(t *testing.T) {
	for _, snippet := range []string{
		`{ a "canary-7391" }`, `{ a: 1 'canary-7391' }`, "{ a: 1, @'canary-7391' @'canary-7391' }",
		"{ a: 'x', |||\n  canary-7391\n||| }", `[1 "canary-7391"]`, `f("canary-7391" "\")", ("canary-7391")`,
		`{ "a": "canary-7391`, `"canary-7391" "canary-7391"`, `{ a: 1 } 7391`, `(1 7391)`,
		"'a' |||\n canary-7391\n|||", `assert "canary-7391" : "canary-7391" "canary-7391"`,
	} {
		_, err := jsonnet.Body(encode(snippet))
		require.ErrorContains(t, err, "line ", snippet)
		assert.NotContains(t, err.Error(), "7391")
	}
}
