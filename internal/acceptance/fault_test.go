package acceptance_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// An injection is one failure and its expected effect.
type injection struct {
	name string
	arm  func(r *faultTest)
	ends ending
	is   error  // what the handler gets; nil: any
	says string // what its error says
}

// An ending is how a request with a failure ends.
type ending string

const (
	rolledBack ending = "nothing has happened, and the client gets the error page"
	panicked   ending = "nothing has happened, the panic is the host's, and its recovery sends the error page"
	cutOff     ending = "nothing has happened, and the connection closes without a byte"
	committed  ending = "the transaction is committed, and the client gets the error page"
	onlyLogged ending = "it is logged; the transaction and the response stand"
)

// failures are the ways in which a hook fails after it has done its work.
var failures = []struct {
	name string
	do   failure
	ends ending
	is   error
	says string
}{
	{"error", func(*faultTest, *flowhook.Exchange) error { return flowtest.ErrRefused }, rolledBack,
		flowtest.ErrRefused, "refused"},
	{"panic", func(*faultTest, *flowhook.Exchange) error { panic("oh no") }, rolledBack, nil, "panic: oh no"},
	{"a Goexit", func(*faultTest, *flowhook.Exchange) error { runtime.Goexit(); return nil }, cutOff, nil, ""},
	{"ErrAbortHandler", func(*faultTest, *flowhook.Exchange) error { panic(http.ErrAbortHandler) }, cutOff, nil, ""},
	{"a canceled context", func(r *faultTest, _ *flowhook.Exchange) error { r.cancel(); return nil }, rolledBack,
		context.Canceled, ""},
	{"commit fails", func(r *faultTest, _ *flowhook.Exchange) error { r.store.failCommit(); return nil }, rolledBack,
		errInjected, ""},
	{"answer of 403", func(_ *faultTest, x *flowhook.Exchange) error {
		x.Writer.WriteHeader(http.StatusForbidden)
		_, err := io.WriteString(x.Writer, "not you")
		return err
	}, rolledBack, nil, ""},
}

// failingHooks makes every hook of a chain, the gate and save fail in every way.
func failingHooks(p chain) (all []injection) {
	places := p.order
	if !p.run {
		places = append([]string{"gate", "save"}, places...)
	}
	for _, place := range places {
		for _, m := range failures {
			i := injection{name: m.name + " at " + place, ends: m.ends, is: m.is, says: m.says,
				arm: func(r *faultTest) { r.failAt, r.failure = place, m.do }}
			answer := m.name == "answer of 403"
			switch {
			case place == "gate" && answer:
				continue // that is where it may
			case place == "save" && answer:
				i.says = "it has answered"
			case place == "save" && m.name == "panic":
				i.ends = panicked
			case answer:
				i.says = "status 403"
			}
			all = append(all, i)
		}
	}
	return all
}

// failingCalls makes every call of a clean run fail, before and after it took effect.
func failingCalls(p chain, calls []storeCall) (all []injection) {
	for n, call := range calls {
		faults := []fault{faultBefore, faultAfter, faultPanic}
		if strings.HasSuffix(call.method, "Transaction") {
			faults = []fault{faultBefore, faultAfter, faultCommit}
		}
		for _, f := range faults {
			i := injection{name: fmt.Sprintf("call %d, %s by %s, %s", n, call.method, call.by, f),
				arm: func(r *faultTest) { r.store.arm(n, f) }, ends: rolledBack, is: errInjected}
			switch {
			case call.method == "Transaction" && f == faultAfter:
				i.ends = committed
			case call.method == "Send" && !p.outbox:
				i.ends = onlyLogged
			case call.method == "Send" && f == faultPanic:
				i.is, i.says = nil, "panic: the courier did not send"
			case call.by == "save" && f == faultPanic:
				i.ends = panicked
			}
			all = append(all, i)
		}
	}
	return all
}

// inject lets one thing fail, checks everything, and tries again: first with a new request, then
// from the start within the same exchange. It returns the number of failures.
func (r *faultTest) inject(i injection) (times int) {
	was := r.seed()
	i.arm(r)
	raw, o := r.do()
	r.requireOutcome(i, o)
	switch i.ends {
	case rolledBack, panicked, cutOff:
		page := r.page
		if i.ends == cutOff {
			page = ""
		}
		require.Equal(r.t, page, raw, i.name)
		require.Equal(r.t, was, r.contents(), i.name)
		require.Empty(r.t, r.mail.Take(), i.name)
		r.requireSuccess(i.name+", then again", 1, r.mails())
	case committed:
		require.Equal(r.t, r.page, raw, i.name)
		r.requireStored(i.name, 1)
		require.Empty(r.t, r.mail.Take(), i.name)
		r.requireSuccess(i.name+", then again", 2, 0)
	case onlyLogged:
		sent := r.mails()
		if !strings.HasSuffix(i.name, string(faultAfter)) {
			sent--
		}
		r.forgotten = 1
		r.requireStored(i.name, 1)
		r.requireAnswer(i.name, raw, sent)
		require.Contains(r.t, r.log.String(), "failed after the commit", i.name)
	}
	if i.ends == cutOff || i.ends == onlyLogged {
		return 1
	}

	r.seed()
	i.arm(r)
	r.again = true
	raw, o = r.do()
	r.requireOutcome(i, o)
	commits, mails := 1, r.mails()
	if i.ends == committed {
		commits, mails = 2, 0
	} else {
		require.Equal(r.t, was, o.is, i.name)
	}
	r.requireStored(i.name+", then again at once", commits)
	r.requireAnswer(i.name+", then again at once", raw, mails)
	return 2
}

func TestFaults_AllOrNothing(t *testing.T) {
	var total atomic.Int64
	t.Run("plans", func(t *testing.T) {
		for _, p := range chains() {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				r := newFaultTest(t, p)
				r.seed()
				r.do()
				seen := r.store.seen()
				r.requireOneSession(seen)
				r.seed()
				r.requireSuccess("nothing goes wrong", 1, r.mails())
				count := 0
				for _, i := range append(failingHooks(p), failingCalls(p, seen)...) {
					count += r.inject(i)
				}
				total.Add(int64(count))
				require.NotContains(t, r.log.String(), "@example.org")
			})
		}
	})
	require.GreaterOrEqual(t, total.Load(), int64(2000))
	t.Logf("all or nothing: %d injections in %d chains", total.Load(), len(chains()))
}

// chains are the tested chains: four hooks in every order, and fewer hooks where some are not
// allowed.
func chains() (all []chain) {
	four := []string{"session", "revoke_active_sessions", "verify", hostsHook}
	for n, order := range permutations(four) {
		answers := n%2 == 0
		for _, outbox := range []bool{false, true} {
			all = append(all, chain{flow: flowhook.Login, order: order, outbox: outbox, answers: answers},
				chain{flow: flowhook.Login, order: order, outbox: outbox, answers: !answers, run: true})
		}
		all = append(all, chain{flow: flowhook.Login, order: order, issues: true, outbox: answers, answers: answers},
			chain{flow: "invitation", order: order, names: true, outbox: answers, answers: !answers})
	}
	for _, f := range []struct {
		flow   flowhook.Flow
		hooks  []string
		issues bool
		names  bool
	}{
		{flowhook.Registration, []string{"session", "verify", hostsHook}, false, true},
		{flowhook.Settings, []string{"revoke_active_sessions", "verify", hostsHook}, false, false},
		{flowhook.Recovery, []string{"session", "revoke_active_sessions", hostsHook}, false, false},
		{flowhook.Recovery, []string{"revoke_active_sessions", hostsHook}, true, false},
		{flowhook.Verification, []string{"session", hostsHook}, false, true},
	} {
		for n, order := range permutations(f.hooks) {
			all = append(all, chain{flow: f.flow, order: order, issues: f.issues, names: f.names, outbox: n%2 == 0,
				answers: n%3 == 0},
				chain{flow: f.flow, order: order, run: true, outbox: n%2 == 1, answers: n%3 == 1})
		}
	}
	return all
}

func permutations(of []string) (all [][]string) {
	if len(of) == 0 {
		return [][]string{nil}
	}
	for i, first := range of {
		for _, rest := range permutations(append(append([]string(nil), of[:i]...), of[i+1:]...)) {
			all = append(all, append([]string{first}, rest...))
		}
	}
	return all
}
