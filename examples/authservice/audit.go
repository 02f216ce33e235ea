package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"github.com/flowhook/flowhook"
)

// newAudit is the factory of the audit hook, which inserts a row into the table audit. At after,
// the row is part of the transaction and exists only if the change was saved. At failed, the
// transaction has been rolled back, so the hook uses one of its own. It records only some of the
// sign-ins with a provider that failed before the user was known; see newRefusalRows.
func (s *service) newAudit(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.After && p.Phase != flowhook.Failed {
		return nil, errors.New("audit records what has happened, so it is allowed only at after and failed")
	}
	return described{"Records the event in the audit log.", func(ctx context.Context, x *flowhook.Exchange) error {
		var userID any // NULL if unknown
		// that user was not saved
		if x.Identity != nil && !(p.Flow == flowhook.Registration && p.Phase == flowhook.Failed) {
			userID = x.Identity.ID
		}
		if p.Phase == flowhook.After {
			outcome := reason(x.Err)
			if x.Request.URL.Path == "/settings/email" { // the point is that of a change of the name, too
				outcome = "ok_address_change"
			}
			return s.auditRow(ctx, x, x.Point(), userID, subject(x), outcome)
		}
		if x.Identity == nil && x.Point().Strategy == flowhook.OIDC && !s.callbackRows.AllowN(s.now(), 1) {
			return nil // anyone can send callbacks, which no rate_limit counts
		}
		// flowhook gives the hooks at failed 10 seconds of their own, which is more than fits into
		// handlingTime.
		ctx, cancel := context.WithTimeout(ctx, s.config.Limits.audit)
		defer cancel()
		// the store serializes writers, which SQLite needs
		return s.transaction(ctx, "", func(ctx context.Context) error {
			return s.auditRow(ctx, x, x.Point(), userID, subject(x), reason(x.Err))
		})
	}}, nil
}

// subject returns the address that an exchange is about: the identity's or, without an identity,
// the one that was typed to sign in, to recover an account, or with a code.
func subject(x *flowhook.Exchange) string {
	if x.Identity != nil && len(x.Identity.Addresses) > 0 {
		return x.Identity.Addresses[0].Value
	}
	switch x.Point().Flow {
	case flowhook.Login, flowhook.Recovery, flowhook.Verification:
		return x.Request.PostFormValue("email")
	}
	return ""
}

// auditRow inserts the row of an exchange. userID is a string, or nil if the user is unknown.
func (s *service) auditRow(ctx context.Context, x *flowhook.Exchange, p flowhook.Point, userID any, address, outcome string) error {
	var from any
	if peer := s.config.peer(x.Request); peer.IsValid() {
		from = peer.String()
	}
	_, err := s.db.exec(ctx, `INSERT INTO audit (at, point, outcome, user_id, account, address, client)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		s.now().UnixMicro(), p.String(), outcome, userID, accountHash(s.config.AuditKey, address),
		from, client(x.Request))
	return err
}

// accountHash returns the keyed hash that the log stores instead of an email address. With it, the
// attempts on a known address can be found, but the log reveals no addresses. It returns nil for an
// invalid address, because users type passwords into the wrong field.
func accountHash(key []byte, address string) any {
	email, ok := normalizeEmail(address)
	if !ok {
		return nil
	}
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(emailKey(email)))
	return sum.Sum(nil)
}
