package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"golang.org/x/time/rate"
)

// newRateLimit returns the hook rate_limit, whose limits are in auth.yml. It limits guessing of
// passwords and codes, registrations, and requests for emails.
//
// The limiter is in memory. It outlives a reload of auth.yml but not a restart. Each copy of the
// service counts on its own, so n copies allow n times the attempts. To share the limits, set the
// Limiter to that of hooks/ratelimit/redislimit.
func (s *service) newRateLimit() (*ratelimit.RateLimit, error) {
	return ratelimit.New(ratelimit.Options{
		Limiter: &ratelimit.Memory{Now: func() time.Time { return s.now() }},
		Key:     s.limitKeys,
		Logger:  s.log,
	})
}

// limitKeys returns what a request counts on. Only forms count that submit a password, a code or a
// token, or that make the service send an email. The account is the address as typed, registered or
// not, so that a refusal does not reveal whether it exists.
func (s *service) limitKeys(ctx context.Context, x *flowhook.Exchange) (k ratelimit.Keys, err error) {
	r := x.Request
	client, account := network(s.config.peer(r)), accountOf(r.PostFormValue("email"))
	switch x.Point().Flow {
	case flowhook.Registration, confirmAddress:
		return ratelimit.Keys{Client: client}, nil
	case flowhook.Recovery, flowhook.Verification:
		if !r.PostForm.Has("email") { // a form with a link's token
			return ratelimit.Keys{Client: client}, nil
		}
	case flowhook.Settings, deleteAccount:
		if r.PostFormValue("current") == "" { // no password is checked
			return k, nil
		}
		u, _, err := s.current(r.WithContext(ctx))
		if errors.Is(err, flowhook.ErrNoSession) {
			return k, nil
		}
		if err != nil {
			return k, err
		}
		account = emailKey(u.Email)
	}
	k = ratelimit.Keys{Client: client, Account: account}
	k.Device, err = s.knownDevice(ctx, r, account)
	return k, err
}

// accountOf returns the key of the account for an address as typed, whether or not the account
// exists.
func accountOf(typed string) string {
	if email, ok := normalizeEmail(typed); ok {
		return emailKey(email)
	}
	return "invalid " + strings.ToLower(strings.TrimSpace(typed))
}

// knownDevice returns the device that a request comes from, or "" if it has not signed in to the
// account before. Such a browser has limits of its own, so that guessing elsewhere does not lock the
// owner out; see devices.go. From a new browser, the owner cannot sign in while others guess from
// many networks.
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

// newRefusalRows limits the audit rows of one kind that anyone can cause: a flood of requests costs no
// flood of rows. The kinds are apart, so that a flood of one does not hide the other.
func newRefusalRows() *rate.Limiter { return rate.NewLimiter(rate.Every(time.Second), 20) }

// beforeFailed answers a request that a hook at before has refused, and records it if that was
// rate_limit.
func (s *service) beforeFailed(w http.ResponseWriter, r *http.Request, err error) {
	var over *ratelimit.Exceeded
	var at *flowhook.HookError
	if errors.As(err, &over) && errors.As(err, &at) && s.refusalRows.AllowN(s.now(), 1) {
		s.log.WarnContext(r.Context(), "too many attempts", slog.String("flow", string(at.Point.Flow)),
			slog.String("by", over.By))
		if err := s.auditRefusal(r, at.Point, over); err != nil { // the attempt is refused anyway
			s.log.ErrorContext(r.Context(), "writing the audit row of a refused attempt failed", "error", err)
		}
	}
	s.fail(w, r, err)
}

func (s *service) auditRefusal(r *http.Request, p flowhook.Point, over *ratelimit.Exceeded) error {
	ctx, userID, account := r.Context(), any(nil), r.PostFormValue("email")
	if p.Flow == flowhook.Settings || p.Flow == deleteAccount {
		if u, _, err := s.current(r); err == nil {
			userID, account = u.ID, u.Email
		}
	}
	return s.transaction(ctx, "", func(ctx context.Context) error {
		return s.auditRow(ctx, exchange(r), p, userID, account, "too_many_by_"+over.By)
	})
}
