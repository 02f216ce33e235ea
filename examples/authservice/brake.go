package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// newBrake makes the hook brake, which slows down who guesses passwords. It stands at three places, and they belong together:
//
//   - before login and settings it refuses a form with a password in it while too many have been wrong, before the
//     password is looked at: by account and client together, by account, and by client. It has the limits as its config. An
//     account is the address that was typed, whether anybody has it or not, so a refusal does not tell;
//   - at failed it counts the passwords that were wrong, and no other failure;
//   - after login, which nobody passes without the password, it forgets the failures of this client on this account. It does
//     not stand after settings, where most of what succeeds takes no password.
//
// A browser that has signed in to the account before has a cookie that says so (see devices.go). It is counted by itself, and
// neither by the account's limit nor by its network's: whoever guesses elsewhere does not keep the owner out of there. With a
// browser that is new to the account, the owner is kept out for as long as others guess at it from many networks.
//
// What is counted is in this process's memory. It outlives a reload of auth.yml, but no restart, and each of several copies
// counts for itself: what one allows, n of them allow n times.
func (s *service) newBrake(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	switch {
	case p.Phase == flowhook.Before && (p.Flow == flowhook.Login || p.Flow == flowhook.Settings):
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
			return s.brakeBefore(ctx, x, p.Flow, [kinds]limit{byPair: limits.Pair, byAccount: limits.Account, byClient: limits.Client})
		}), nil
	case p.Phase == flowhook.Failed && (p.Flow == flowhook.Login || p.Flow == flowhook.Settings):
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if no := (*refusal)(nil); errors.As(x.Err, &no) && no.Code == wrongPassword && guessed(x.Request, p.Flow) {
				g := guessOf(ctx)
				if !g.begun() {
					return errors.New("it does not stand before this flow, so it has let through what it is to count")
				}
				g.end(true)
			}
			return nil
		}), nil
	case p.Phase == flowhook.After && p.Flow == flowhook.Login:
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if g := guessOf(ctx); g.begun() {
				x.AfterCommit(func(context.Context) error { g.right(); return nil })
			}
			return nil
		}), nil
	}
	return nil, errors.New("it stands before login and settings, at their failed, and after login")
}

// guessed says whether a request gives a password.
func guessed(r *http.Request, flow flowhook.Flow) bool {
	return r.Method == http.MethodPost && (flow == flowhook.Login || r.PostFormValue("current") != "")
}

// brakeBefore lets a try through, and has it under way from here on, or answers.
func (s *service) brakeBefore(ctx context.Context, x *flowhook.Exchange, flow flowhook.Flow, limits [kinds]limit) error {
	if !guessed(x.Request, flow) {
		return nil
	}
	account, who := accountOf(x.Request.PostFormValue("email")), any(nil)
	if flow == flowhook.Settings {
		u, _, err := s.current(x.Request.WithContext(ctx))
		if errors.Is(err, flowhook.ErrNoSession) {
			return nil // whose password nobody will look at
		}
		if err != nil {
			return err
		}
		account, who = emailKey(u.Email), u.ID
	}
	device, err := s.knownDevice(ctx, x.Request, account)
	if err != nil {
		return err
	}
	g := guessOf(ctx)
	if g == nil || g.begun() {
		return errors.New("the handler has to be wrapped in braked, once")
	}
	no := g.begin(s.tallies, s.now, keysOf(account, network(s.config.peer(x.Request)), device, limits))
	if no == nil {
		return nil
	}
	if no.tell { // not each of them: to be refused is cheap, and a row is not
		s.log.WarnContext(ctx, "the brake holds", slog.String("flow", string(flow)), slog.String("by", no.by.String()), slog.Duration("wait", no.wait))
		if err := s.transaction(ctx, "", func(ctx context.Context) error {
			return s.auditRow(ctx, x, who, account, "too_many_by_"+no.by.String())
		}); err != nil { // nobody gets in for that
			s.log.ErrorContext(ctx, "the audit log lacks that the brake holds", "error", err)
		}
	}
	x.Writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(no.wait.Seconds()))))
	s.show(x.Writer, x.Request, http.StatusTooManyRequests, "error", page{Title: "Too many tries", Data: "There were too many wrong passwords. Please try again " +
		inWords(no.wait) + ". A browser that has signed in to the account before has tries of its own."})
	return nil
}

// accountOf gives the account that an address, as typed, names, whether there is such an account or not.
func accountOf(typed string) string {
	if email, ok := normaliseEmail(typed); ok {
		return emailKey(email)
	}
	return strings.ToLower(strings.TrimSpace(typed))
}

// knownDevice gives the device that a request comes from, if somebody has signed in to the account with it before.
func (s *service) knownDevice(ctx context.Context, r *http.Request, account string) (string, error) {
	device := device(r)
	if _, ok := normaliseEmail(account); !ok || device == "" { // what is no address is nobody's, and may be no text
		return "", nil
	}
	if known, err := s.db.knowsDevice(ctx, account, device); err != nil || !known {
		return "", err
	}
	return device, nil
}

// keysOf gives what a try is counted on, the client first: one that is refused makes no new keys. device is empty where
// the account does not know the browser.
func keysOf(account, network, device string, limits [kinds]limit) []key {
	of := func(k kind, what ...string) key {
		return key{k, sha256.Sum256([]byte(strings.Join(what, "\x00"))), limits[k]} // the account last, since only it may contain anything
	}
	if device != "" {
		return []key{of(byPair, "device", device, account)}
	}
	return []key{of(byClient, network), of(byPair, "network", network, account), of(byAccount, account)}
}

// inWords says when a wait is over.
func inWords(wait time.Duration) string {
	if n := int(math.Ceil(wait.Minutes())); n > 1 {
		return fmt.Sprintf("in %d minutes", n)
	}
	return "in a minute"
}
