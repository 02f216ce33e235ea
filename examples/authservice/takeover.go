package main

import (
	"context"
	"errors"

	"github.com/flowhook/flowhook"
)

// Anyone can register with an address that is not theirs: it stays unconfirmed, but it is taken.
// When its owner comes, with the link of a recovery email or with a provider that has verified the
// address, the owner takes the account over. A confirmed account is never taken over.

// takeOver removes everything by which a user whose address was never confirmed can sign in: the
// password, the identities at providers, and the sessions. The known browsers go, too. Call it in
// the transaction that confirms the address and gives the account its new credential.
func (s *service) takeOver(ctx context.Context, u user) error {
	if u.Verified {
		return errors.New("a confirmed account cannot be taken over")
	}
	for _, query := range []string{
		"UPDATE users SET password_hash = NULL WHERE id = $1",
		"DELETE FROM oidc_identities WHERE user_id = $1",
		"DELETE FROM devices WHERE user_id = $1",
	} {
		if _, err := s.db.exec(ctx, query, u.ID); err != nil {
			return err
		}
	}
	return s.store.DeleteSessions(ctx, u.ID, "")
}

// claim gives the account with the address of u to u, whose address a provider has verified, and
// returns the account. It returns errTaken if the account is confirmed. It runs in the transaction
// of ctx, and waits for those of the account.
func (s *service) claim(ctx context.Context, u user) (claimed user, err error) {
	squatter, err := s.db.userByEmail(ctx, u.Email)
	if errors.Is(err, errNoUser) {
		return user{}, errTaken // its user has just changed the address
	}
	if err != nil {
		return user{}, err
	}
	claimed = u
	claimed.ID = squatter.ID
	return claimed, s.store.Transaction(ctx, squatter.ID, func(ctx context.Context) error {
		squatter, err := s.db.userByID(ctx, squatter.ID)
		switch {
		case errors.Is(err, errNoUser):
			return errTaken
		case err != nil:
			return err
		case squatter.Verified || emailKey(squatter.Email) != emailKey(u.Email):
			return errTaken
		}
		if err := s.takeOver(ctx, squatter); err != nil {
			return err
		}
		return s.db.claimUser(ctx, claimed, s.now())
	})
}

// freeAddress deletes the account that has taken an address without confirming it, unless it is that
// of the user with the ID. It is for an owner who takes the address back for another account.
func (s *service) freeAddress(ctx context.Context, email, id string) error {
	squatter, err := s.db.userByEmail(ctx, email)
	if errors.Is(err, errNoUser) || err == nil && (squatter.ID == id || squatter.Verified) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.store.Transaction(ctx, squatter.ID, func(ctx context.Context) error {
		if err := s.store.DeleteSessions(ctx, squatter.ID, ""); err != nil {
			return err
		}
		return s.db.deleteUnconfirmed(ctx, squatter.ID)
	})
}

// changeAddress makes the change of a link that verify_new_address or notify_previous_addresses has
// sent, in the transaction of ctx, and reports whether it has undone one.
//
// The person who asked for a change that its owner undoes knows the password, because the settings
// ask for it, and may have connected a provider. So these go, too, and the owner chooses a new
// password by recovery.
func (s *service) changeAddress(ctx context.Context, t flowhook.Token) (undone bool, err error) {
	c, err := t.Change()
	if err != nil {
		return false, err
	}
	u, err := s.db.userByID(ctx, t.IdentityID)
	switch {
	case errors.Is(err, errNoUser):
		return false, flowhook.ErrBadToken
	case err != nil:
		return false, err
	case !c.Undo && u.Email != c.From.Value:
		return false, errAddressChanged // again, or the change was undone
	case !c.Undo:
		return false, s.db.setAddress(ctx, u.ID, c.To.Value, s.now())
	}
	if err := s.freeAddress(ctx, c.To.Value, u.ID); err != nil {
		return true, err
	}
	if err := s.store.DeleteSessions(ctx, u.ID, ""); err != nil {
		return true, err
	}
	for _, query := range []string{
		"UPDATE users SET password_hash = NULL WHERE id = $1",
		"DELETE FROM oidc_identities WHERE user_id = $1",
	} {
		if _, err := s.db.exec(ctx, query, u.ID); err != nil {
			return true, err
		}
	}
	return true, s.db.setAddress(ctx, u.ID, c.To.Value, s.now())
}
