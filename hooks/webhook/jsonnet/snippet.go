package jsonnet

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

const (
	// maxBrackets and maxDepth bound the stack of the parser and of an evaluation. A goroutine that
	// needs more than 1 GB of it ends the process. The parser takes about 64 KB for each "(".
	maxBrackets = 1000
	maxDepth    = 500

	// parseLimit is necessary because the time to parse nested expressions grows with the square of
	// their number.
	parseLimit = 5 * time.Second
)

// parse parses and checks a snippet. Its errors begin with the line.
func parse(text string) (ast.Node, error) {
	brackets := strings.Count(text, "(") + strings.Count(text, "[") + strings.Count(text, "{")
	if brackets > maxBrackets {
		return nil, fmt.Errorf("the snippet has %d brackets, more than %d", brackets, maxBrackets)
	}
	type result struct {
		code ast.Node
		err  error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errors.New("the parser failed")}
		defer func() {
			_ = recover()
			done <- r
		}()
		r.code, r.err = jsonnet.SnippetToAST("", text)
		if r.err != nil {
			r.err = syntaxError(r.err)
		} else {
			r.err = check(r.code)
		}
	}()
	select {
	case r := <-done:
		return r.code, r.err
	case <-time.After(parseLimit):
		return nil, fmt.Errorf("the snippet takes longer than %v to parse", parseLimit)
	}
}

// token matches what the parser quotes from a snippet, which could be a secret.
var token = regexp.MustCompile(`(?s)\((STRING\w*|VERBATIM\w*|NUMBER), ".*"\)`)

func syntaxError(err error) error {
	located, ok := errors.AsType[interface {
		error
		Loc() ast.LocationRange
	}](err)
	if !ok {
		return errors.New("not valid Jsonnet")
	}
	loc := located.Loc()
	text := strings.TrimSpace(strings.TrimPrefix(err.Error(), loc.String()))
	return atLine(loc, "%s", token.ReplaceAllString(text, "$1"))
}

// check refuses what a snippet must not do and what it cannot do.
func check(code ast.Node) error {
	root := code
	for local, ok := root.(*ast.Local); ok; local, ok = root.(*ast.Local) {
		root = local.Body
	}
	if f, ok := root.(*ast.Function); ok {
		hasCtx := false
		for _, p := range f.Parameters {
			hasCtx = hasCtx || p.Name == "ctx"
			if p.Name != "ctx" && p.DefaultArg == nil {
				return atLine(p.LocRange, "unknown parameter %q; write function(ctx)", p.Name)
			}
		}
		if !hasCtx {
			return atLine(*f.Loc(), "no parameter ctx; write function(ctx)")
		}
	}
	return walk(code, 0)
}

func walk(n ast.Node, depth int) error {
	if depth > maxDepth {
		return atLine(*n.Loc(), "more than %d expressions inside each other", maxDepth)
	}
	switch n := n.(type) {
	case *ast.Import, *ast.ImportStr, *ast.ImportBin:
		return atLine(*n.Loc(), "imports are not allowed; put everything in one snippet")
	case *ast.Apply:
		if n.TailStrict { // the interpreter does not count such calls, but needs stack for each
			return atLine(*n.Loc(), "tailstrict is not allowed, because it could overflow the stack")
		}
	case *ast.Index:
		std, ok := n.Target.(*ast.Var)
		name, _ := n.Index.(*ast.LiteralString)
		if ok && std.Id == "std" && name != nil && (name.Value == "extVar" || name.Value == "native") {
			return atLine(*n.Loc(), "std.%s is not allowed; everything is in ctx", name.Value)
		}
	}
	for _, child := range toolutils.Children(n) {
		if err := walk(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func atLine(loc ast.LocationRange, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if loc.Begin.Line == 0 {
		return errors.New(text)
	}
	return fmt.Errorf("line %d: %s", loc.Begin.Line, text)
}
