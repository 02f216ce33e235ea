package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// A method is a provider on the settings page: one with which the user signs in or could sign in, or
// a connected one that OIDC_PROVIDERS no longer has.
type method struct {
	Key   string // in the path of its form
	Name  string
	Logo  string    // the name of a static file; empty for none
	Since time.Time // zero if it is not connected
	Last  bool      // the user could not sign in without it
	Form  *form     // nil if the user must sign in again first, or if it is the last one

	issuer string // in stored identities
	known  *provider
}

// Connected reports whether the user's account is connected.
func (m method) Connected() bool { return !m.Since.IsZero() }

// methodsPath is the path under which the forms of the providers are.
const methodsPath = "/settings/providers/"

func methodPath(key, action string) string { return methodsPath + key + "/" + action }

var errLast = refuse("", "last_method", "This is your only way to sign in. Set a password first.")

// methodForm returns the form that connects or disconnects a provider. Either needs a proof that the
// user is at the browser (OWASP ASVS 5.0, 7.5.1): the password or, for users without one, a new
// sign-in; see fresh.go.
func methodForm(m method, password bool) *form {
	verb := "connect"
	if m.Connected() {
		verb = "disconnect"
	}
	f := form{Action: methodPath(m.Key, verb), Submit: strings.ToUpper(verb[:1]) + verb[1:] + " " + m.Name, Quiet: true}
	if password {
		f.Fields = []field{{Name: "current", Label: "Current password", Purpose: "to " + verb + " " + m.Name,
			Type: "password", Autocomplete: "current-password"}}
	}
	return &f
}

// methods returns the providers for the settings page of a user. fresh reports whether a user without
// a password has just signed in again.
func (s *service) methods(ctx context.Context, u user, fresh bool) (list []method, err error) {
	for _, p := range s.providers {
		list = append(list, method{Key: p.Key, Name: p.Name, Logo: p.LogoFile(), issuer: p.id, known: p})
	}
	usable := 0
	if u.PasswordHash != "" {
		usable++
	}
	err = s.db.rows(ctx, func(scan scanFunc) error {
		var issuer string
		var since int64
		if err := scan(&issuer, &since); err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(m method) bool { return m.issuer == issuer })
		if i < 0 {
			i, list = len(list), append(list, unknownMethod(issuer))
		}
		if list[i].known != nil {
			usable++
		}
		list[i].Since = time.UnixMicro(since).UTC()
		return nil
	}, "SELECT issuer, created_at FROM oidc_identities WHERE user_id = $1 ORDER BY created_at, issuer", u.ID)
	if err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		if !u.Verified && !m.Connected() {
			continue // see errUnconfirmed
		}
		m.Last = m.Connected() && (usable == 0 || usable == 1 && m.known != nil)
		if !m.Last && (u.PasswordHash != "" || fresh) {
			m.Form = methodForm(*m, u.PasswordHash != "")
		}
	}
	return list, nil
}

// unknownMethod returns the method of an issuer that is not configured anymore. Its key is longer
// than those of providers.
func unknownMethod(issuer string) method {
	sum := sha256.Sum256([]byte(issuer))
	return method{Key: hex.EncodeToString(sum[:16]), Name: cmp.Or(hostOf(issuer), issuer), issuer: issuer}
}

// confirmMethod checks the proof that a form of methodForm needs. Without it, confirmMethod answers
// the request and returns false.
func (s *service) confirmMethod(w http.ResponseWriter, r *http.Request, u user, session *flowhook.Session) bool {
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	switch {
	case u.PasswordHash == "" && !s.fresh(r, session):
		http.Redirect(w, r, settingsStale, http.StatusSeeOther)
		return false
	case u.PasswordHash == "":
		return true
	case r.PostFormValue("current") == "":
		s.settingsAgain(w, r, u, r.URL.Path, errCurrent)
		return false
	}
	handled, err := s.confirmPassword(r, u, flowhook.Settings, flowhook.OIDC)
	if err != nil {
		s.settingsSaved(w, r, u, r.URL.Path, handled, err)
	}
	return err == nil
}

// disconnect disconnects a provider, which ends all other sessions of the user.
func (s *service) disconnect(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok || !s.confirmMethod(w, r, u, session) {
		return
	}
	x := exchange(r)
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.OIDC, func(ctx context.Context) error {
		now, err := s.sameUser(ctx, session, passwordMark(u))
		if err != nil {
			return err
		}
		list, err := s.methods(ctx, now, false)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(m method) bool { return m.Key == r.PathValue("provider") && m.Connected() })
		if i < 0 {
			return nil // it is disconnected already
		}
		if list[i].Last {
			return errLast
		}
		if _, err := s.db.exec(ctx, "DELETE FROM oidc_identities WHERE user_id = $1 AND issuer = $2", u.ID,
			list[i].issuer); err != nil {
			return err
		}
		if err := s.store.DeleteSessions(ctx, u.ID, session.ID); err != nil {
			return err
		}
		notice{Disconnected: list[i].Name}.beside(r).leave(x.Writer)
		if !now.Verified {
			return nil
		}
		return s.courier.Send(ctx, s.disconnectedMail(now, list[i].Name))
	})
	s.settingsSaved(w, r, u, r.URL.Path, handled, err)
}
