package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// newBrake is the factory of the brake hook, which slows down password guessing. Configure it at
// three points, which work together:
//
//   - Before login and settings, it refuses a form with a password while there were too many wrong
//     ones. It does so before the password is checked. It limits the pair of account and client,
//     the account, and the client; its config sets the limits. An account is the address as typed,
//     registered or not, so a refusal does not reveal whether it exists.
//   - Before recovery and verification, it does the same for a form with an address: one that asks
//     for an email, or one with a code. These flows count apart from login, so that nobody is kept
//     from signing in by requests for email.
//   - At failed, it counts wrong passwords and codes and no other failures. The handler itself
//     counts each request for an email.
//   - After login, it resets the counter of the pair. It does not do so after settings, because
//     most changes there need no password.
//
// A browser that has signed in to the account before has a cookie that proves it; see devices.go.
// Such a browser has a counter of its own instead of the limits of the account and the client. So
// guessing elsewhere does not lock the owner out. From a new browser, the owner cannot sign in
// while others guess from many networks.
//
// The counters are in memory. They outlive a reload of auth.yml but not a restart. Each copy of the
// service counts separately, so n copies allow n times the attempts.
func (s *service) newBrake(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	switch {
	case p.Phase == flowhook.Before && slices.Contains(braked, p.Flow):
		var limits struct{ Pair, Account, Client limit }
		if err := decode(&limits); err != nil {
			return nil, err
		}
		for _, l := range []limit{limits.Pair, limits.Account, limits.Client} {
			if err := l.check(); err != nil {
				return nil, err
			}
		}
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			return s.brakeBefore(ctx, x, p.Flow,
				[kinds]limit{byPair: limits.Pair, byAccount: limits.Account, byClient: limits.Client})
		}), nil
	case p.Phase == flowhook.Failed && slices.Contains(braked, p.Flow):
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			no := (*flowhook.Refusal)(nil)
			if errors.As(x.Err, &no) && (no.Code == wrongPassword || no.Code == wrongCode) && guessed(x.Request, p.Flow) {
				g := guessOf(ctx)
				if !g.begun() {
					return errors.New("the brake is not configured before this flow, so it cannot count the attempt")
				}
				g.end(true)
			}
			return nil
		}), nil
	case p.Phase == flowhook.After && p.Flow == flowhook.Login:
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if g := guessOf(ctx); g.begun() {
				x.AfterCommit(func(context.Context) error { g.succeeded(); return nil })
			}
			return nil
		}), nil
	}
	return nil, errors.New("brake is allowed only before login, settings, recovery and verification, at their failed, " +
		"and after login")
}

// braked are the flows that the brake can limit.
var braked = []flowhook.Flow{flowhook.Login, flowhook.Settings, flowhook.Recovery, flowhook.Verification}

// guessed reports whether a request is an attempt: whether it submits a password or a code, or asks
// for an email.
func guessed(r *http.Request, flow flowhook.Flow) bool {
	if r.Method != http.MethodPost {
		return false
	}
	switch flow {
	case flowhook.Login:
		return true
	case flowhook.Settings:
		return r.PostFormValue("current") != ""
	}
	return r.PostForm.Has("email") // a form with a link's token has none
}

// brakeBefore starts an attempt or, if there were too many, refuses it with 429.
func (s *service) brakeBefore(ctx context.Context, x *flowhook.Exchange, flow flowhook.Flow,
	limits [kinds]limit) error {
	if !guessed(x.Request, flow) {
		return nil
	}
	account, userID := accountOf(x.Request.PostFormValue("email")), any(nil)
	if flow == flowhook.Settings {
		u, _, err := s.current(x.Request.WithContext(ctx))
		if errors.Is(err, flowhook.ErrNoSession) {
			return nil // without a session, the password is not checked
		}
		if err != nil {
			return err
		}
		account, userID = emailKey(u.Email), u.ID
	}
	device, err := s.knownDevice(ctx, x.Request, account)
	if err != nil {
		return err
	}
	g := guessOf(ctx)
	if g == nil || g.begun() {
		return errors.New("the handler must be wrapped in withGuess exactly once")
	}
	scope := "password"
	if flow == flowhook.Recovery || flow == flowhook.Verification {
		scope = string(flow)
	}
	over := g.begin(s.counters, s.now, keysOf(scope, account, network(s.config.peer(x.Request)), device, limits))
	if over == nil {
		return nil
	}
	if over.first { // a row for each refusal would cost more than the refusal
		s.log.WarnContext(ctx, "too many attempts", slog.String("flow", string(flow)),
			slog.String("by", over.by.String()), slog.Duration("wait", over.wait))
		if err := s.transaction(ctx, "", func(ctx context.Context) error {
			return s.auditRow(ctx, x, userID, account, "too_many_by_"+over.by.String())
		}); err != nil { // the attempt is refused anyway
			s.log.ErrorContext(ctx, "writing the audit row of a refused attempt failed", "error", err)
		}
	}
	return &flowhook.Refusal{Status: http.StatusTooManyRequests, Code: "too_many_attempts", RetryAfter: over.wait,
		Text: "There were too many attempts. Please try again " + inWords(over.wait) +
			". A browser that has signed in to this account before has its own limit."}
}

// accountOf returns the key of the account for an address as typed, whether or not the account
// exists.
func accountOf(typed string) string {
	if email, ok := normalizeEmail(typed); ok {
		return emailKey(email)
	}
	return strings.ToLower(strings.TrimSpace(typed))
}

// knownDevice returns the device that a request comes from, or "" if it has not signed in to the
// account before.
func (s *service) knownDevice(ctx context.Context, r *http.Request, account string) (string, error) {
	device := device(r)
	if _, ok := normalizeEmail(account); !ok || device == "" { // no account has an invalid address
		return "", nil
	}
	if known, err := s.db.knowsDevice(ctx, account, device); err != nil || !known {
		return "", err
	}
	return device, nil
}

// keysOf returns the keys that an attempt counts on, the client first, so that a refused client
// creates no keys for accounts. Each scope counts apart. device is empty if the browser is new to
// the account.
func keysOf(scope, account, network, device string, limits [kinds]limit) []key {
	of := func(k kind, parts ...string) key { // the account is last, because only it may contain \x00
		return key{k, sha256.Sum256([]byte(scope + "\x00" + strings.Join(parts, "\x00"))), limits[k]}
	}
	if device != "" {
		return []key{of(byPair, "device", device, account)}
	}
	return []key{of(byClient, network), of(byPair, "network", network, account), of(byAccount, account)}
}

// inWords returns when a wait is over, in words.
func inWords(wait time.Duration) string {
	if n := int(math.Ceil(wait.Minutes())); n > 1 {
		return fmt.Sprintf("in %d minutes", n)
	}
	return "in a minute"
}
