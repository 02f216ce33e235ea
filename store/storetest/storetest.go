// Package storetest checks that a store keeps what the comments of flowhook's store interfaces promise. A host calls
// [Run] in a test of its own store.
package storetest

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
)

const (
	// patience is how long a case may take. It is generous: no case sleeps, only a store that is slow or stuck gets near.
	patience = 20 * time.Second

	// moment is how long a call is given that may have to wait for an open transaction, and then has to give up.
	moment = 100 * time.Millisecond
)

// Run runs each case as a subtest of t. The cases are those of [flowhook.Store] and of the other interfaces that the
// store has: [flowhook.SessionRevoker], [flowhook.SessionStore], [flowhook.VerificationStore]. A case that fails says
// what the store should have kept.
//
// newStore is called once to look at the store, and once for each case. It may give the same database each time: the
// cases touch nothing but what they have created themselves. newIdentity creates an identity in that database and gives
// its ID, another one each time; it is never called while a transaction is open. newStore cleans up with t.Cleanup.
//
// A store has 20 seconds for each case. One that is stuck even after its contexts have ended fails its case after 30.
func Run(t *testing.T, newStore func(t *testing.T) (s flowhook.Store, newIdentity func() string)) {
	t.Helper()
	s, _ := newStore(t)
	for _, c := range casesOf(s) {
		t.Run(c.name, func(t *testing.T) {
			s, newIdentity := newStore(t)
			c.check(t, s, newIdentity, patience)
		})
	}
}

// A testCase is one promise.
type testCase struct {
	name        string
	explanation string // what a store that fails has got wrong, and what follows from it
	needs       need
	run         func(e *env)
}

// A need says what a store must have for a case to make sense.
type need func(s flowhook.Store) bool

func transactions(flowhook.Store) bool    { return true }
func revoker(s flowhook.Store) bool       { _, ok := s.(flowhook.SessionRevoker); return ok }
func sessions(s flowhook.Store) bool      { _, ok := s.(flowhook.SessionStore); return ok }
func verifications(s flowhook.Store) bool { _, ok := s.(flowhook.VerificationStore); return ok }
func rows(s flowhook.Store) bool          { return sessions(s) || verifications(s) }

func casesOf(s flowhook.Store) []testCase {
	all := slices.Concat(transactionCases, lockCases, rollbackCases, joinCases, sessionCases, revokeCases,
		verificationCases, notSinceCases, redeemCases, deleteTokenCases)
	return slices.DeleteFunc(all, func(c testCase) bool { return !c.needs(s) })
}

// A reporter is what a case needs of a [testing.T]; the suite's own test has another one, to see a case fail.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// check runs the case on a goroutine of its own, which it gives up where the store is stuck.
func (c testCase) check(to reporter, s flowhook.Store, newIdentity func() string, patience time.Duration) {
	to.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f := &findings{to: to, explanation: c.explanation}
	defer f.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				f.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		c.run(&env{findings: f, store: s, ctx: ctx, newIdentity: newIdentity})
	}()
	late := time.NewTimer(patience + patience/2)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		f.Errorf("the store is stuck: a call does not return although its context has ended")
	}
}

// findings passes on what a case finds, with the case's explanation, until the case is over.
type findings struct {
	explanation string

	mu sync.Mutex
	to reporter // nil when the case is over
}

func (f *findings) Helper() {}

func (f *findings) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to != nil {
		f.to.Errorf("%s\n%s", f.explanation, fmt.Sprintf(format, args...))
	}
}

// FailNow ends the case. What has failed is reported already.
func (f *findings) FailNow() { runtime.Goexit() }

func (f *findings) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = nil
}

// An env is what a case works with. It is the T of testify's functions, on the case's own goroutine.
type env struct {
	*findings
	store       flowhook.Store
	ctx         context.Context // ends with the case
	newIdentity func() string
}

// briefly gives a context for a call that may have to wait for a transaction that the case holds open.
func (e *env) briefly() context.Context {
	ctx, cancel := context.WithTimeout(e.ctx, moment)
	context.AfterFunc(e.ctx, cancel)
	return ctx
}

// cancelled gives a context that has ended.
func (e *env) cancelled() context.Context {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	return ctx
}

// An outcome is how a function ended.
type outcome struct {
	err      error
	returned bool
	panicked any // nil, where it did not return: by Goexit
}

// start calls fn on a goroutine of its own.
func start(fn func() error) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if !o.returned {
				o.panicked = recover()
			}
			ch <- o
		}()
		o.err = fn()
		o.returned = true
	}()
	return ch
}

// wait gives the outcome, which has to come before the case's time is up.
func (e *env) wait(ch <-chan outcome) outcome {
	select {
	case o := <-ch:
		return o
	case <-e.ctx.Done():
		e.Errorf("a call did not return in time")
		e.FailNow()
		panic("unreachable")
	}
}

// together calls fn n times at once.
func (e *env) together(n int, fn func(i int) error) []outcome {
	chs := make([]<-chan outcome, n)
	gate := make(chan struct{})
	for i := range n {
		chs[i] = start(func() error { <-gate; return fn(i) })
	}
	close(gate)
	os := make([]outcome, n)
	for i := range chs {
		os[i] = e.wait(chs[i])
	}
	return os
}

// try runs a Transaction that does nothing, and says whether its fn ran.
func (e *env) try(ctx context.Context, identityID string) (ran bool, err error) {
	err = e.store.Transaction(ctx, identityID, func(context.Context) error {
		ran = true
		return nil
	})
	return ran, err
}
