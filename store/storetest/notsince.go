package storetest

import "time"

// notSinceCases are about which tokens keep CreateVerification from creating another.
var notSinceCases = []testCase{
	{
		name:        "recent-token-is-enough",
		explanation: "where a token for the address was issued a microsecond after notSince, no other is created",
		needs:       verifications,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Microsecond))
		},
	},
	{
		name:        "not-since-is-exclusive",
		explanation: "a token that was issued at notSince was not issued after it: another is created",
		needs:       verifications,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireCreated(true, e.again(v), v.IssuedAt)
		},
	},
	{
		name:        "older-token-does-not-count",
		explanation: "a token that was issued before notSince is old: another is created, and both can be used",
		needs:       verifications,
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
		name:        "any-recent-token-counts",
		explanation: "of several tokens for the address, one that was issued after notSince is enough, whichever was stored first or last",
		needs:       verifications,
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
		name:        "used-token-counts",
		explanation: "a token that has been used still counts as issued: else one mail after the other could be asked for",
		needs:       verifications,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name:        "expired-token-counts",
		explanation: "a token that has expired still counts as issued: lifespan and interval do not depend on each other",
		needs:       verifications,
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
		needs:       verifications,
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
		needs:       verifications,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			next.Address.Verified = true
			e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
		},
	},
}
