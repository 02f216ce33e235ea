package process_test

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A person is an account.
type person struct {
	password   string
	first      string    // the address at registration
	told       bool      // whether the registration was confirmed
	is         []profile // the possible profiles: one, unless a change was not answered
	sessions   []*session
	doubtful   int // logins without an answer
	devices    []string
	lost       int // logins from new devices without an answer
	tokens     map[string]*token
	had        []string  // all addresses that the account may have had
	notices    int       // emails about new devices that must arrive
	maxNotices int       // emails about new devices that may arrive
	failed     time.Time // when the registration was last answered with 503
}

type profile struct{ name, email string }

// reached reports whether the account exists and its address is certain.
func (p *person) reached() bool {
	return p.told && !slices.ContainsFunc(p.is, func(one profile) bool { return one.email != p.is[0].email })
}

// A session is a session cookie and its expected state.
type session struct {
	cookie string
	state  state
}

type state int

const (
	live state = iota
	doubtful
	ended
)

// A token is a token from an email.
type token struct {
	to       string
	redeemed int
	doubtful bool // whether an attempt was not answered
}

// some returns a random live session, or nil.
func (p *person) some(chance *rand.Rand) *session {
	var good []*session
	for _, s := range p.sessions {
		if s.state == live {
			good = append(good, s)
		}
	}
	if len(good) == 0 {
		return nil
	}
	return good[chance.IntN(len(good))]
}

// newDevice returns 1 if a login with a new device must cause an email or, unless certainly is set,
// may cause one. That is so if the account has other devices and its address is confirmed.
func (p *person) newDevice(told, certainly bool) int {
	confirmed, maybe := false, false
	for _, k := range p.tokens {
		if k.to == p.is[0].email {
			confirmed, maybe = confirmed || k.redeemed > 0, maybe || k.doubtful
		}
	}
	others, mayHaveOthers := len(p.devices) > 0, p.lost > 0
	if told && confirmed && others || !certainly && (confirmed || maybe) && (others || mayHaveOthers) {
		return 1
	}
	return 0
}
