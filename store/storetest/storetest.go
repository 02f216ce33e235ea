// Package storetest tests that a store keeps the promises in the comments of flowhook's store
// interfaces. Call [Run] in a test of your store.
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
	// patience is the time limit of a case. No case sleeps, so only a store that is slow or stuck
	// needs it.
	patience = 20 * time.Second

	// moment is the time limit of a call that may have to wait for an open transaction.
	moment = 100 * time.Millisecond
)

// Run runs each case as a subtest of t: the cases of [flowhook.Store], and those of the other
// interfaces that the store implements, which are [flowhook.SessionRevoker],
// [flowhook.SessionStore], [flowhook.SessionReplacer] and [flowhook.TokenStore]. A case that fails
// explains the promise that the store broke.
//
// Run calls newStore once to find the interfaces, and once for each case. newStore may use the same
// database each time, because the cases touch only what they create. newIdentity creates a new
// identity in that database and returns its ID. It is never called while a transaction is open.
// newStore cleans up with t.Cleanup.
//
// Each case has 20 seconds. A store that is still stuck after its contexts have ended fails the
// case after 30 seconds.
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

// A testCase tests one promise.
type testCase struct {
	name        string
	explanation string // the promise, and what follows if a store breaks it
	needs       need
	run         func(e *env)
}

// A need is what a store must implement for a case.
type need func(s flowhook.Store) bool

func transactions(flowhook.Store) bool { return true }
func revoker(s flowhook.Store) bool    { _, ok := s.(flowhook.SessionRevoker); return ok }
func sessions(s flowhook.Store) bool   { _, ok := s.(flowhook.SessionStore); return ok }
func tokens(s flowhook.Store) bool     { _, ok := s.(flowhook.TokenStore); return ok }
func rows(s flowhook.Store) bool       { return sessions(s) || tokens(s) }

func replacer(s flowhook.Store) bool {
	_, ok := s.(flowhook.SessionReplacer)
	return ok && sessions(s)
}

func casesOf(s flowhook.Store) []testCase {
	all := slices.Concat(transactionCases, lockCases, rollbackCases, joinCases, sessionCases, replaceCases,
		revokeCases, tokenCases, notSinceCases, redeemCases, deleteTokenCases, purposeCases, usedTokenCases, dataCases,
		attemptCases)
	return slices.DeleteFunc(all, func(c testCase) bool { return !c.needs(s) })
}

// A reporter is the part of a [testing.T] that a case uses. The tests of the suite have another
// one, to see a case fail.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// check runs the case on a goroutine of its own, which it abandons if the store is stuck.
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

// findings reports the failures of a case, with its explanation, until the case is over.
type findings struct {
	explanation string

	mu sync.Mutex
	to reporter // nil after the case
}

func (f *findings) Helper() {}

func (f *findings) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to != nil {
		f.to.Errorf("%s\n%s", f.explanation, fmt.Sprintf(format, args...))
	}
}

// FailNow ends the case. The failure is already reported.
func (f *findings) FailNow() { runtime.Goexit() }

func (f *findings) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = nil
}

// An env is the environment of a case. It is the T of testify's functions on the case's goroutine.
type env struct {
	*findings
	store       flowhook.Store
	ctx         context.Context // ends with the case
	newIdentity func() string
}

// briefly returns a context for a call that may have to wait for an open transaction of the case.
func (e *env) briefly() context.Context {
	ctx, cancel := context.WithTimeout(e.ctx, moment)
	context.AfterFunc(e.ctx, cancel)
	return ctx
}

// canceled returns a context that has ended.
func (e *env) canceled() context.Context {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	return ctx
}

// An outcome is how a function ended.
type outcome struct {
	err      error
	returned bool
	panicked any // nil for a Goexit, if it did not return
}

// start calls fn on a new goroutine.
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

// wait returns the outcome. It fails the case if its time is up.
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

// together calls fn n times concurrently.
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

// try runs a Transaction that does nothing, and reports whether its fn ran.
func (e *env) try(ctx context.Context, identityID string) (ran bool, err error) {
	err = e.store.Transaction(ctx, identityID, func(context.Context) error {
		ran = true
		return nil
	})
	return ran, err
}
