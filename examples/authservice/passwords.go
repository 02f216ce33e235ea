package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// The length of a password is restricted, and common passwords are rejected (NIST SP 800-63B). A
// service with many users should also reject passwords from public breach lists.
const passwordMin, passwordMax = 8, 128

// argon2 has the minimum parameters that OWASP recommends: 19 MiB and two passes.
var argon2 = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// passwords hashes and compares passwords. A hash needs memory and a CPU, so both take turns.
// Checking a password and choosing one have turns of their own, so that a flood of registrations
// does not keep anybody from signing in.
type passwords struct {
	checks, choices turns
	dummy           string // the hash of a random password

	compare func(password, hash string) (bool, error) // replaced by tests
}

func newPasswords() (*passwords, error) {
	dummy, err := argon2id.CreateHash(rand.Text(), argon2)
	if err != nil {
		return nil, fmt.Errorf("hashing a password: %w", err)
	}
	cpus := runtime.GOMAXPROCS(0)
	return &passwords{checks: newTurns(cpus), choices: newTurns(max(1, cpus/2)), dummy: dummy,
		compare: argon2id.ComparePasswordAndHash}, nil
}

// waitingPerTurn is how many requests may wait for each turn, about two seconds' work.
const waitingPerTurn = 64

// errBusy means that too many requests wait for a turn.
var errBusy = errors.New("too many requests wait for their password to be hashed")

// turns limits how many passwords are hashed at a time, and how many requests wait.
type turns struct {
	running chan struct{}
	present chan struct{} // running or waiting
}

func newTurns(n int) turns {
	return turns{make(chan struct{}, n), make(chan struct{}, n*(1+waitingPerTurn))}
}

// take waits for a turn for as long as the request lasts. If too many others wait, it returns
// errBusy at once.
func (t turns) take(ctx context.Context) (done func(), err error) {
	select {
	case t.present <- struct{}{}:
	default:
		return nil, errBusy
	}
	select {
	case t.running <- struct{}{}:
		return func() { <-t.running; <-t.present }, nil
	case <-ctx.Done():
		<-t.present
		return nil, ctx.Err()
	}
}

// hash returns the hash of a password, with a new salt.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	done, err := p.choices.take(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	hash, err := argon2id.CreateHash(norm.NFKC.String(password), argon2)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// match reports whether the password has the hash. An empty hash takes as long as a wrong one, so
// that the time does not reveal which users exist.
func (p *passwords) match(ctx context.Context, password, hash string) (bool, error) {
	done, err := p.checks.take(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	against := hash
	if against == "" {
		against = p.dummy
	}
	// Too long for any password, and normalizing it would take time: decomposed, a character has at
	// most 12 bytes.
	if len(password) > 12*passwordMax {
		password = ""
	}
	ok, err := p.compare(norm.NFKC.String(password), against)
	if err != nil {
		return false, fmt.Errorf("comparing a password with its hash: %w", err)
	}
	return ok && hash != "", nil
}

// passwordFault returns what is wrong with a new password, or "" if it is valid. about is what is known
// about the user: the name and the email address. The length is that of the normalized password, so
// that it does not depend on how a letter with an accent is typed.
func passwordFault(password string, about ...string) string {
	switch n := utf8.RuneCountInString(norm.NFKC.String(password)); {
	case n < passwordMin:
		return fmt.Sprintf("Use at least %d characters.", passwordMin)
	case n > passwordMax:
		return fmt.Sprintf("Use at most %d characters.", passwordMax)
	case !utf8.ValidString(password):
		return "Use only printable characters."
	}
	return commonFault(password, about...)
}
