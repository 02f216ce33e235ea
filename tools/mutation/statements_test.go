package main

import (
	"slices"
	"strings"
	"testing"
)

func TestStatementChanges(t *testing.T) {
	for name, row := range map[string]struct {
		code string
		want []string // the kind of each change, and the code after it
	}{
		"call":             {`func f() { g(1) }`, []string{`DELETE_CALL func f() {  }`}},
		"defer":            {`func f() { defer mu.Unlock() }`, []string{`DELETE_CALL func f() {  }`}},
		"go":               {`func f() { go g() }`, []string{`DELETE_CALL func f() {  }`}},
		"receive":          {`func f() { <-c }`, []string{`DELETE_CALL func f() {  }`}},
		"send":             {`func f() { c <- 1 }`, []string{`DELETE_CALL func f() {  }`}},
		"definition stays": {`func f() { x := 1 }`, nil},
		"assignment": {`func f() { x = 1; x++; x += 2 }`, []string{
			`DELETE_ASSIGNMENT func f() { ; x++; x += 2 }`,
			`DELETE_ASSIGNMENT func f() { x = 1; ; x += 2 }`,
			`DELETE_ASSIGNMENT func f() { x = 1; x++;  }`,
		}},
		"jump": {`func f() { for { break }; for { continue }; return }`, []string{
			`DELETE_JUMP func f() { for {  }; for { continue }; return }`,
			`DELETE_JUMP func f() { for { break }; for {  }; return }`,
			`DELETE_JUMP func f() { for { break }; for { continue };  }`,
		}},
		"for clause stays": {`func f() { for i = 0; i < 1; i++ { } }`, nil},
		"if keeps its init": {`func f() { if x := 1; a || b { } }`, []string{
			`FORCE_TRUE func f() { if x := 1; true || (a || b) { } }`,
			`FORCE_FALSE func f() { if x := 1; false && (a || b) { } }`,
		}},
		"else if": {`func f() { if a { } else if b { } }`, []string{
			`FORCE_TRUE func f() { if true || (a) { } else if b { } }`,
			`FORCE_FALSE func f() { if false && (a) { } else if b { } }`,
			`FORCE_TRUE func f() { if a { } else if true || (b) { } }`,
			`FORCE_FALSE func f() { if a { } else if false && (b) { } }`,
		}},
		"switch without a value": {`func f() { switch { case a: g(); default: } }`, []string{
			`FORCE_TRUE func f() { switch { case true || (a): g(); default: } }`,
			`FORCE_FALSE func f() { switch { case false && (a): g(); default: } }`,
			`DELETE_CALL func f() { switch { case a: ; default: } }`,
		}},
		"switch with a value": {`func f() { switch x { case 1: g() } }`, []string{
			`DELETE_CALL func f() { switch x { case 1:  } }`,
		}},
		"select": {`func f() { select { case <-c: g() } }`, []string{
			`DELETE_CALL func f() { select { case <-c:  } }`,
		}},
		"error": {`func f() (int, error) { return 1, err }`, []string{
			`RETURN_NIL func f() (int, error) { return 1, nil }`,
		}},
		"named error": {`func f() (a, b int, err error) { return 1, 2, g() }`, []string{
			`RETURN_NIL func f() (a, b int, err error) { return 1, 2, nil }`,
		}},
		"nil stays":               {`func f() error { return nil }`, nil},
		"other result stays":      {`func f() int { return x }`, nil},
		"call with results stays": {`func f() (int, error) { return g() }`, nil},
		"error of a function in it": {`func f() int { return g(func() error { return err }) }`, []string{
			`RETURN_NIL func f() int { return g(func() error { return nil }) }`,
		}},
		"function in a variable": {`var f = func() error { return err }`, []string{
			`RETURN_NIL var f = func() error { return nil }`,
		}},
		"statement around another": {`func f() { defer func() { g() }() }`, []string{
			`DELETE_CALL func f() {  }`,
			`DELETE_CALL func f() { defer func() {  }() }`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const header = "// é\npackage p\n\n"
			src := []byte(header + row.code)
			changes, err := statementChanges(src)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				changed, ok := strings.CutPrefix(string(c.apply(src)), header)
				if !ok {
					t.Errorf("%s changes the header", c.kind)
				}
				if want := map[bool]string{true: "f"}[strings.HasPrefix(row.code, "func f(")]; c.function != want {
					t.Errorf("%s is in the function %q, want %q", c.kind, c.function, want)
				}
				got = append(got, c.kind+" "+changed)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("changes are\n%q\nwant\n%q", got, row.want)
			}
		})
	}
	if _, err := statementChanges([]byte("package")); err == nil {
		t.Error("a file with a syntax error has changes")
	}
}
