package leaktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	loginBefore = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Before}
	loginAfter  = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}
)

// aborted is a testing.TB whose Fatalf panics instead of ending the goroutine.
type aborted struct{ testing.TB }

func (a aborted) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// newRig returns a rig with hooks at login. At before, "gate" answers a request with gate=shut and
// aborts one with gate=abort. At after, a session is issued and an email is sent.
func newRig(t testing.TB) *hooktest.Rig {
	cfg := &flowhook.Config{}
	cfg.Add(loginBefore, "gate", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		switch x.Request.FormValue("gate") {
		case "shut":
			http.Error(x.Writer, "shut", http.StatusForbidden)
		case "abort":
			panic(http.ErrAbortHandler)
		}
		return nil
	}))
	cfg.Add(loginAfter, "session", nil)
	cfg.Add(loginAfter, "verify", nil)
	return hooktest.NewWith(t, cfg, flowhook.Options{})
}

func exchange(target string) *flowhook.Exchange {
	return &flowhook.Exchange{
		Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email", Value: "alice@example.org"}}},
		Request:  httptest.NewRequest(http.MethodPost, target, nil),
	}
}

// login returns the handler of the login.
func login(pipeline *flowhook.Pipeline) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		flowhook.MustFromContext(r.Context()).Identity = exchange("/").Identity
		handled, err := pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		if !handled && err == nil {
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}
	}
}

// TestRig makes calls of the rig end in every possible way and checks that no goroutine is left.
func TestRig(t *testing.T) {
	complete := func(t *testing.T, target string, save func(context.Context) error) *hooktest.Result {
		return newRig(t).Complete(flowhook.Login, flowhook.Password, exchange(target), save)
	}
	serve := func(t *testing.T, target string, handler http.HandlerFunc) *hooktest.Result {
		rig := newRig(t)
		if handler == nil {
			handler = login(rig.Pipeline)
		}
		return rig.Serve(flowhook.Login, handler, httptest.NewRequest(http.MethodPost, target, nil))
	}
	panics := func(t *testing.T, fn func()) {
		defer func() {
			if recover() == nil {
				t.Error("the call did not panic")
			}
		}()
		fn()
	}
	ends := func(t *testing.T, fn func()) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			fn()
			t.Error("the call returned")
		}()
		<-ended
	}
	status := func(t *testing.T, got *hooktest.Result, want int) {
		t.Helper()
		if got.Status != want {
			t.Errorf("status %d, want %d: %+v", got.Status, want, got)
		}
	}

	for _, row := range []struct {
		name string
		call func(t *testing.T)
	}{
		{"New", func(t *testing.T) { newRig(t) }},
		{"Run", func(t *testing.T) {
			status(t, newRig(t).Run(loginBefore, exchange("/?gate=shut")), http.StatusForbidden)
		}},
		{"Run/aborted", func(t *testing.T) {
			if got := newRig(t).Run(loginBefore, exchange("/?gate=abort")); got.Err != http.ErrAbortHandler {
				t.Errorf("%+v", got)
			}
		}},
		{"Run/invalid request", func(t *testing.T) {
			x := exchange("/")
			x.Request.Method = "NO METHOD"
			panics(t, func() { newRig(aborted{t}).Run(loginBefore, x) })
		}},
		{"Complete", func(t *testing.T) {
			if got := complete(t, "/", nil); got.SignedIn == nil || len(got.Mails) != 1 {
				t.Errorf("%+v", got)
			}
		}},
		{"Complete/save fails", func(t *testing.T) {
			errSave := errors.New("the disk is full")
			if got := complete(t, "/", func(context.Context) error { return errSave }); got.Err != errSave {
				t.Errorf("%+v", got)
			}
		}},
		{"Complete/save panics", func(t *testing.T) {
			panics(t, func() { complete(t, "/", func(context.Context) error { panic("in save") }) })
		}},
		{"Complete/save ends its goroutine", func(t *testing.T) {
			ends(t, func() { complete(t, "/", func(context.Context) error { runtime.Goexit(); return nil }) })
		}},
		{"Serve", func(t *testing.T) { status(t, serve(t, "/", nil), http.StatusSeeOther) }},
		{"Serve/hook answers", func(t *testing.T) { status(t, serve(t, "/?gate=shut", nil), http.StatusForbidden) }},
		{"Serve/aborted", func(t *testing.T) { status(t, serve(t, "/?gate=abort", nil), 0) }},
		{"Serve/aborted after a part of the answer", func(t *testing.T) {
			status(t, serve(t, "/", func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "half")
				panic(http.ErrAbortHandler)
			}), 0)
		}},
		{"Serve/handler panics", func(t *testing.T) {
			panics(t, func() { serve(t, "/", func(http.ResponseWriter, *http.Request) { panic("in the handler") }) })
		}},
		{"Serve/handler ends its goroutine", func(t *testing.T) {
			ends(t, func() { serve(t, "/", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }) })
		}},
		{"CheckFile", func(t *testing.T) {
			hooktest.CheckFile(t, "../../testdata/document/01-login-before.yml", flowhook.Options{})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			row.call(t)
			goleak.VerifyNone(t, before)
		})
	}
}
