package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

var purposes = []flowhook.Purpose{
	flowhook.PurposeVerification, flowhook.PurposeRecovery, flowhook.PurposeAddressChange,
}

// purposeCases test that a token is for one purpose.
var purposeCases = []testCase{
	{
		name:        "purpose-comes-back",
		explanation: "a token comes back with its purpose, whatever it is: a host may have purposes of its own",
		needs:       tokens,
		run: func(e *env) {
			id := e.newIdentity()
			for _, p := range append([]flowhook.Purpose{"Recovery", "a purpose"}, purposes...) {
				v := e.token(id)
				v.Purpose = p
				e.issue(v)
				e.requireToken(v)
			}
		},
	},
	{
		name: "other-purpose-is-not-found",
		explanation: "ConsumeToken of a token for another purpose is ErrNotFound, and does not use the token up: " +
			"a link for one thing must never do another",
		needs: tokens,
		run: func(e *env) {
			id := e.newIdentity()
			for _, p := range purposes {
				v := e.token(id)
				v.Purpose = p
				e.issue(v)
				for _, other := range append([]flowhook.Purpose{"", p + " ", p[:3], "%"}, purposes...) {
					if other == p {
						continue
					}
					_, err := e.tokens().ConsumeToken(e.ctx, other, v.Hash, v.IssuedAt)
					require.ErrorIs(e, err, flowhook.ErrNotFound, "a token for %q, consumed for %q", p, other)
				}
				e.requireToken(v)
			}
		},
	},
	{
		name: "interval-counts-per-purpose",
		explanation: "a token counts as issued for its own purpose only: a verification does not delay a " +
			"recovery, but a recovery delays the next one",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			since := v.IssuedAt.Add(-time.Minute)
			for _, p := range purposes {
				v.Purpose = p
				e.requireCreated(true, e.again(v), since)
				e.requireCreated(false, e.again(v), since)
			}
		},
	},
}
