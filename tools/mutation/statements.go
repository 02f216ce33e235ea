package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
)

// A change replaces the bytes of a file from one offset to another.
type change struct {
	kind     string
	function string // the name of the function around; "" outside of one
	from, to int
	text     string
}

// apply returns the changed file.
func (c change) apply(src []byte) []byte {
	return slices.Concat(src[:c.from], []byte(c.text), src[c.to:])
}

// statementChanges returns the changes of a file's statements, in the order of the file:
//
//   - DELETE_CALL deletes a statement that is a call, also with go or defer, a receive, or a send.
//   - DELETE_ASSIGNMENT deletes x = y, x += y or x++. It leaves x := y alone.
//   - DELETE_JUMP deletes a break, a continue, or a return without results.
//   - FORCE_TRUE and FORCE_FALSE fix the condition of an if, or of a case in a switch without a
//     value. The condition stays in the code, so that its variables are used.
//   - RETURN_NIL replaces the last result of a return, if that is an error.
//
// Some of the changed files do not compile.
func statementChanges(src []byte) ([]change, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var all []change
	ast.Walk(visitor{files: files, src: src, all: &all}, file)
	slices.SortStableFunc(all, func(a, b change) int { return cmp.Compare(a.from, b.from) })
	return all, nil
}

// A visitor appends the changes of the nodes that it visits.
type visitor struct {
	files    *token.FileSet
	src      []byte
	all      *[]change
	function string // the name of the function around
	results  int    // of the innermost function, if the last one is an error; otherwise 0
}

// Visit implements [ast.Visitor].
func (v visitor) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.FuncDecl:
		v.function, v.results = n.Name.Name, errorResults(n.Type)
	case *ast.FuncLit:
		v.results = errorResults(n.Type)
	case *ast.BlockStmt:
		v.delete(n.List)
	case *ast.CaseClause:
		v.delete(n.Body)
	case *ast.CommClause:
		v.delete(n.Body)
	case *ast.IfStmt:
		v.force(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				v.force(clause.(*ast.CaseClause).List...)
			}
		}
	case *ast.ReturnStmt:
		if last := len(n.Results) - 1; last >= 0 && last+1 == v.results && !isNamed(n.Results[last], "nil") {
			v.replace("RETURN_NIL", n.Results[last], func(string) string { return "nil" })
		}
	}
	return v
}

// replace appends a change that replaces the node by a text.
func (v visitor) replace(kind string, n ast.Node, text func(old string) string) {
	from, to := v.files.Position(n.Pos()).Offset, v.files.Position(n.End()).Offset
	*v.all = append(*v.all, change{kind, v.function, from, to, text(string(v.src[from:to]))})
}

// delete deletes each statement of a list that can be deleted.
func (v visitor) delete(list []ast.Stmt) {
	for _, s := range list {
		kind := ""
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
			kind = "DELETE_CALL"
		case *ast.IncDecStmt:
			kind = "DELETE_ASSIGNMENT"
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				kind = "DELETE_ASSIGNMENT"
			}
		case *ast.BranchStmt:
			kind = "DELETE_JUMP"
		case *ast.ReturnStmt:
			if s.Results == nil {
				kind = "DELETE_JUMP"
			}
		}
		if kind != "" {
			v.replace(kind, s, func(string) string { return "" })
		}
	}
}

// force makes each condition true, and then false.
func (v visitor) force(conditions ...ast.Expr) {
	for _, c := range conditions {
		v.replace("FORCE_TRUE", c, func(old string) string { return "true || (" + old + ")" })
		v.replace("FORCE_FALSE", c, func(old string) string { return "false && (" + old + ")" })
	}
}

// errorResults returns the number of results if the last one is an error, and otherwise 0.
func errorResults(f *ast.FuncType) int {
	n := f.Results.NumFields()
	if n == 0 || !isNamed(f.Results.List[len(f.Results.List)-1].Type, "error") {
		return 0
	}
	return n
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
