package jsonnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

const (
	// maxInput bounds the stack: the interpreter implements parts of std, such as std.setUnion and
	// std.format, by recursion over the elements or characters, at about 13 KB of stack for each.
	maxInput   = 32 << 10
	maxOutput  = 64 << 10
	maxStack   = 500 // the default of Jsonnet, and so of Kratos
	maxRunning = 4
)

// A renderer evaluates one snippet.
type renderer struct {
	where string
	code  ast.Node
	limit time.Duration
	turns chan struct{} // has an element for each evaluation that runs
	late  atomic.Int32  // counts those that run although their time is up
}

func newRenderer(where string, code ast.Node, limit time.Duration) *renderer {
	return &renderer{where: where, code: code, limit: limit, turns: make(chan struct{}, maxRunning)}
}

// render evaluates the snippet on a goroutine of its own, because it cannot be canceled.
func (r *renderer) render(ctx any) ([]byte, error) {
	input, err := plain(ctx)
	if err != nil {
		return nil, r.wrap(err)
	}
	if r.late.Load() == maxRunning {
		return nil, r.wrap(errBusy)
	}
	timer := time.NewTimer(r.limit)
	defer timer.Stop()
	select {
	case r.turns <- struct{}{}:
	case <-timer.C:
		return nil, r.wrap(errBusy)
	}
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1)
	var ended atomic.Bool // set by the first of the two: the result and the limit
	go func() {
		body, err := r.evaluate(input)
		done <- result{body, err}
		if ended.Swap(true) {
			r.late.Add(-1)
		}
		<-r.turns
	}()
	select {
	case res := <-done:
		return res.body, r.wrap(res.err)
	case <-timer.C:
		r.late.Add(1)
		if ended.Swap(true) { // just in time
			r.late.Add(-1)
			res := <-done
			return res.body, r.wrap(res.err)
		}
		return nil, r.wrap(fmt.Errorf("the evaluation takes longer than %v; look for a loop", r.limit))
	}
}

var errBusy = fmt.Errorf("%d evaluations are running, and none of them ends; look for a loop", maxRunning)

func (r *renderer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return wrap(r.where, err)
}

// plain returns ctx as encoding/json decodes it. Its errors do not quote ctx.
func plain(ctx any) (any, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // otherwise a < takes six bytes
	if encoder.Encode(ctx) != nil {
		return nil, fmt.Errorf("ctx of type %T cannot be encoded as JSON", ctx)
	}
	data := bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
	if len(data) > maxInput {
		return nil, fmt.Errorf("ctx is larger than %d KiB", maxInput>>10)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, errors.New("ctx has a number that is too large")
	}
	return v, nil
}

// argument is the code of the argument ctx. As JSON in the code, it would take far more memory.
var argument, _ = jsonnet.SnippetToAST("argument", `std.native("ctx")()`)

func (r *renderer) evaluate(ctx any) ([]byte, error) {
	vm := jsonnet.MakeVM()
	vm.MaxStack = maxStack
	vm.Importer(&jsonnet.MemoryImporter{}) // has nothing to import
	vm.SetTraceOut(io.Discard)
	vm.NativeFunction(&jsonnet.NativeFunction{
		Name: "ctx",
		Func: func([]any) (any, error) { return ctx, nil },
	})
	vm.TLANode("ctx", argument)
	body, err := vm.Evaluate(r.code)
	if err != nil {
		return nil, r.runtimeError(err)
	}
	if len(body) > maxOutput {
		return nil, fmt.Errorf("the rendered body is larger than %d KiB", maxOutput>>10)
	}
	return []byte(body), nil
}

// runtimeError replaces the text of an error, which may quote ctx, and keeps the line.
func (r *renderer) runtimeError(err error) error {
	e, ok := errors.AsType[jsonnet.RuntimeError](err)
	if !ok {
		return errors.New("the interpreter failed")
	}
	var loc ast.LocationRange
	for _, frame := range e.StackTrace { // the innermost is the last
		if frame.Loc.File == r.code.Loc().File {
			loc = frame.Loc
		}
	}
	switch {
	case strings.HasPrefix(e.Msg, "cancel"): // Kratos looks for it anywhere, also in what a user has typed
		return webhook.ErrCanceled
	case e.Msg == "max stack frames exceeded.":
		return atLine(loc, "more than %d nested calls", maxStack)
	case e.Msg == "couldn't manifest function as JSON":
		return errors.New("the result has a function in it")
	}
	return atLine(loc, "the evaluation failed; the reason is withheld because it could quote ctx")
}
