package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// notSinceCases test which tokens prevent CreateToken from creating another one.
var notSinceCases = []testCase{
	{
		name:        "recent-token-is-enough",
		explanation: "if a token for the address was issued a microsecond after notSince, no other one is created",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Microsecond))
		},
	},
	{
		name:        "not-since-is-exclusive",
		explanation: "a token that was issued at notSince was not issued after it: another is created",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireCreated(true, e.again(v), v.IssuedAt)
		},
	},
	{
		name:        "older-token-does-not-count",
		explanation: "a token that was issued before notSince is old: another is created, and both can be used",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			e.requireCreated(true, next, v.IssuedAt.Add(time.Second))
			e.requireToken(v)
			e.requireToken(next)
		},
	},
	{
		name: "any-recent-token-counts",
		explanation: "of several tokens for the address, one that was issued after notSince is enough, whichever " +
			"was stored first or last",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			old := e.again(v)
			old.IssuedAt = v.IssuedAt.Add(-time.Hour)
			e.requireCreated(true, old, v.IssuedAt)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "used-token-counts",
		explanation: "a token that has been used still counts as issued: otherwise a user could request one " +
			"email after the other",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "expired-token-counts",
		explanation: "a token that has expired still counts as issued: lifespan and interval do not depend on " +
			"each other",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.ExpiresAt = v.IssuedAt.Add(time.Second)
			e.requireCreated(true, v, v.IssuedAt.Add(-time.Hour))
			next := e.again(v)
			next.IssuedAt = v.IssuedAt.Add(30 * time.Minute)
			next.ExpiresAt = next.IssuedAt.Add(time.Second)
			e.requireCreated(false, next, next.IssuedAt.Add(-time.Hour))
		},
	},
	{
		name:        "other-addresses-do-not-count",
		explanation: "a token counts for its own identity and address (Via and Value) only",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			since := v.IssuedAt.Add(-time.Minute)
			value, via, identity := e.again(v), e.again(v), e.again(v)
			value.Address.Value = "x" + v.Address.Value
			via.Address.Via = "sms"
			identity.IdentityID = e.newIdentity()
			e.requireCreated(true, value, since)
			e.requireCreated(true, via, since)
			e.requireCreated(true, identity, since)
		},
	},
	{
		name:        "verified-mark-is-no-part-of-the-address",
		explanation: "an address is the same whether or not it is marked as verified",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			next.Address.Verified = true
			e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "token-a-minute-ahead-counts",
		explanation: "a token that was issued up to a minute after v.IssuedAt counts: the clocks of two servers " +
			"may differ",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			next.IssuedAt = v.IssuedAt.Add(-time.Minute)
			e.requireCreated(false, next, next.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "token-from-the-future-does-not-count",
		explanation: "a token that was issued more than a minute after v.IssuedAt does not count: the clock that " +
			"issued it was ahead",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			next.IssuedAt = v.IssuedAt.Add(-time.Minute - time.Microsecond)
			e.requireCreated(true, next, next.IssuedAt.Add(-time.Minute))
			e.requireToken(v)
			e.requireToken(next)
		},
	},
	{
		name: "clock-that-was-ahead-drops-no-token",
		explanation: "when a clock that was a year ahead is set back, tokens that are issued then can be used, " +
			"and count",
		needs: tokens,
		run: func(e *env) {
			ahead := e.token(e.newIdentity())
			v := e.again(ahead)
			ahead.IssuedAt, ahead.ExpiresAt = ahead.IssuedAt.AddDate(1, 0, 0), ahead.ExpiresAt.AddDate(1, 0, 0)
			e.issue(ahead)
			e.requireCreated(true, v, v.IssuedAt.Add(-time.Minute))
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
			e.requireToken(v)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name:        "spellings-of-one-mailbox-count-as-one",
		explanation: "an email address in another letter case is the same address: compare Address.Key, not Value",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address.Value = spelling(0)
			e.issue(v)
			for i := 1; i < spellings; i++ {
				next := e.again(v)
				next.Address.Value = spelling(i)
				e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
			}
		},
	},
	{
		name: "letters-beyond-ascii-fold",
		explanation: "letter case does not count beyond ASCII either: Address.Key uses Unicode simple folding, " +
			"and a database's lower may not",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address.Value = "Élodie.Σ.k@example.org"
			e.issue(v)
			for _, value := range []string{"élodie.Σ.k@example.org", "ÉLODIE.σ.K@EXAMPLE.ORG", "élodie.ς.\u212a@example.org"} {
				next := e.again(v)
				next.Address.Value = value
				e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
			}
			next := e.again(v)
			next.Address.Value = "elodie.Σ.k@example.org"
			e.requireCreated(true, next, v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "only-email-is-folded",
		explanation: "if Via is not \"email\", letter case may tell two addresses apart: Address.Key is Value, " +
			"unchanged",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address = flowhook.Address{Via: "chat", Value: spelling(0)}
			e.issue(v)
			next := e.again(v)
			next.Address.Value = spelling(1)
			e.requireCreated(true, next, v.IssuedAt.Add(-time.Minute))
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name: "token-keeps-its-spelling",
		explanation: "a token comes back with the address as it was spelled, even if another spelling was " +
			"requested in between",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address.Value = spelling(spellings - 1)
			e.issue(v)
			next := e.again(v)
			next.Address.Value = spelling(0)
			e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
			e.requireToken(v)
		},
	},
	{
		name: "one-spelling-at-once",
		explanation: "of 24 transactions of one identity at once that ask for a token, each with another " +
			"spelling of one address, exactly one creates it",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			created := make([]bool, spellings)
			for _, o := range e.together(spellings, func(i int) error {
				next := e.again(v)
				next.Address.Value = spelling(i)
				return e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) (err error) {
					created[i], err = e.tokens().CreateToken(ctx, next, v.IssuedAt.Add(-time.Minute))
					return err
				})
			}) {
				require.NoError(e, o.err)
			}
			n := 0
			for _, c := range created {
				if c {
					n++
				}
			}
			require.Equal(e, 1, n, "tokens created")
		},
	},
}

// spellings is the number of spellings of one mailbox in the cases.
const spellings = 24

// spelling returns a different spelling of one mailbox for each i below spellings.
func spelling(i int) string {
	const mailbox = "alice@example.org"
	var b strings.Builder
	for at, c := range mailbox {
		if i>>at&1 == 1 {
			c -= 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
