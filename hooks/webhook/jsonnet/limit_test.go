package jsonnet_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loop makes 2^ctx calls, at most ctx of them nested. With 400, it never ends.
const loop = `local f(n) = if n == 0 then 1 else f(n - 1) + f(n - 1); function(ctx) f(ctx)`

// longLoop returns an argument with which loop takes about two seconds, and at least one.
func longLoop(t *testing.T) int {
	t.Helper()
	render, err := jsonnet.BodyWithin(encode(loop), time.Hour)
	require.NoError(t, err)
	for n := 8; ; n++ {
		best := time.Hour
		for range 3 {
			start := time.Now()
			_, err := render(n)
			require.NoError(t, err)
			best = min(best, time.Since(start))
		}
		if best > 60*time.Millisecond {
			return n + 5 // 32 times as long
		}
	}
}

func TestBody_late_evaluations(t *testing.T) {
	const limit = 100 * time.Millisecond
	n := longLoop(t)
	before := runtime.NumGoroutine()
	allEnd := func() bool { return runtime.NumGoroutine() <= before+1 } // Eventually has one of its own
	render, err := jsonnet.BodyWithin(encode(loop), limit)
	require.NoError(t, err)
	for range 4 {
		_, err = render(n)
		require.ErrorContains(t, err, "jsonnet: base64: the evaluation takes longer than 100ms")
	}
	start := time.Now()
	for range 100 {
		_, err = render(0)
		require.ErrorContains(t, err, "jsonnet: base64: 4 evaluations are running")
	}
	assert.Less(t, time.Since(start), 10*limit, "these calls do not wait for a turn")

	other, err := jsonnet.BodyWithin(encode(loop), time.Minute)
	require.NoError(t, err)
	_, err = other(0)
	require.NoError(t, err, "other snippets are not affected")

	require.Eventually(t, func() bool {
		_, err := render(0)
		return err == nil
	}, time.Minute, limit, "a turn comes back when its evaluation ends")
	require.Eventually(t, allEnd, time.Minute, limit, "no goroutine is left")
}

func TestBody_waits_for_its_turn(t *testing.T) {
	n := longLoop(t) - 7
	render, err := jsonnet.BodyWithin(encode(loop), time.Minute)
	require.NoError(t, err)
	errs := make(chan error)
	for range 16 {
		go func() {
			_, err := render(n)
			errs <- err
		}()
	}
	for range 16 {
		assert.NoError(t, <-errs)
	}
}

func TestBody_evaluation_has_a_second(t *testing.T) {
	n := longLoop(t)
	render, err := jsonnet.Body(encode(loop))
	require.NoError(t, err)
	_, err = render(n)
	require.ErrorContains(t, err, "the evaluation takes longer than 1s; look for a loop")
}

// None of these ends the process or takes long.
func TestBody_bounded(t *testing.T) {
	rep := strings.Repeat
	text := rep("a", 32<<10-10)
	nested := json.RawMessage(rep("[", 5000) + rep("]", 5000))
	for _, test := range []struct {
		name, snippet string
		ctx           any
		want          string
	}{
		{"recursion", "local f(x) =\n  f(x + 1) + 1; f(1)", nil, "line 2: more than 500 nested calls"},
		{"recursive variables", "local a = b, b = a; a", nil, "line 1: more than 500 nested calls"},
		{"recursive object", "local o = { a: self.b, b: self.a }; o", nil, "line 1: more than 500 nested calls"},
		{"endless object", "local f(n) = { a: f(n + 1) }; f(1)", nil, "line 1: more than 500 nested calls"},
		{"nested result", "std.foldl(function(a, i) [a], std.range(1, 600), [])", nil, "more than 500 nested calls"},
		{"nested code", "local f(x) = " + rep("!", 50) + "f(x); f(1)", nil, "line 1: more than 500 nested calls"},
		{"large result", "function(ctx) ctx + ctx + ctx", text, "the rendered body is larger than 64 KiB"},
		{"repeated text", "std.repeat('a', 65536)", nil, "the rendered body is larger than 64 KiB"},
		{"large ctx", "1", rep("a", 32<<10), "ctx is larger than 32 KiB"},
		{"nested ctx", "function(ctx) ctx", nested, "more than 500 nested calls"},
		{"function", "function(ctx) { f: function(x) x }", nil, "the result has a function in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			render, err := jsonnet.BodyWithin(encode(test.snippet), 2*time.Minute)
			require.NoError(t, err)
			_, err = render(test.ctx)
			assert.ErrorContains(t, err, "jsonnet: base64: "+test.want)
		})
	}
}
