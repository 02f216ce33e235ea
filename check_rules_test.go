package flowhook_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rules gives every rule that the code can find: the third argument of what adds to its list.
func rules(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob("internal/check/*.go")
	require.NoError(t, err)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		consts := map[string]string{}
		text := func(e ast.Expr) string {
			lit, ok := e.(*ast.BasicLit)
			require.True(t, ok, "%s: a rule that is no literal", file)
			s, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			return s
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						consts[n.Names[i].Name] = text(v)
					}
				}
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "hook" && s.Sel.Name != "setting" {
					break
				}
				if name, ok := n.Args[2].(*ast.Ident); ok {
					require.Contains(t, consts, name.Name, file)
					found[consts[name.Name]] = true
				} else {
					found[text(n.Args[2])] = true
				}
			}
			return true
		})
	}
	require.GreaterOrEqual(t, len(found), 20)
	return slices.Sorted(maps.Keys(found))
}

// notOfOneFile are the rules that no file alone comes under; TestCheckOptions and TestReload_CookieScope have them.
var notOfOneFile = []string{"cookie-scope", "unused-secrets"}

func TestEveryRuleHasAFile(t *testing.T) {
	found := map[string]bool{}
	files, err := filepath.Glob("testdata/check/*.yml")
	require.NoError(t, err)
	for _, file := range files {
		for _, line := range wanted(t, file) {
			found[strings.Split(line, ": ")[2]] = true
		}
	}
	for _, rule := range notOfOneFile {
		assert.False(t, found[rule], rule)
		found[rule] = true
	}
	assert.Equal(t, rules(t), slices.Sorted(maps.Keys(found)))
}
