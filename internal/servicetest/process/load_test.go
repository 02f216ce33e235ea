package process_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A load simulates people who use a deployment concurrently. Each actor does one thing after
// another and remembers the answers.
type load struct {
	*checkedClient
	d      *deployment
	mail   *mailbox
	actors []*actor
	end    context.CancelFunc
	done   sync.WaitGroup

	told    counts // confirmed by an answer
	unknown atomic.Int64
}

// counts counts what was done.
type counts struct{ registered, confirmed, signedIn, saved, signedOut, refused atomic.Int64 }

func (c *counts) String() string {
	return fmt.Sprintf("%d registrations, %d confirmed addresses, %d sign-ins, %d saved profiles, %d sign-outs",
		c.registered.Load(), c.confirmed.Load(), c.signedIn.Load(), c.saved.Load(), c.signedOut.Load())
}

// An actor uses accounts that no other actor uses, so its answers determine their state.
type actor struct {
	*load
	n      int
	chance *rand.Rand
	people []*person
	serial int
}

const password = "correct horse battery staple"

// start runs actors until stop.
func (l *load) start(actors int, seed uint64) {
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.t.Cleanup(l.stop)
	for i := range actors {
		a := &actor{load: l, n: i, chance: rand.New(rand.NewPCG(seed, uint64(100+i)))}
		l.actors = append(l.actors, a)
		l.done.Go(func() {
			for ctx.Err() == nil {
				a.act(ctx)
			}
		})
	}
}

// warmUp waits until everything has been done at least once.
func (l *load) warmUp() {
	l.t.Helper()
	c := &l.told
	eventually(l.t, 2*time.Minute, func() bool {
		return c.registered.Load() > 0 && c.confirmed.Load() > 0 && c.signedIn.Load() > 0 && c.saved.Load() > 0 &&
			c.signedOut.Load() > 0
	}, "something was not done yet: %s", c)
}

func (l *load) stop() {
	l.end()
	l.done.Wait()
}

// act does one random thing.
func (a *actor) act(ctx context.Context) {
	p := &person{}
	if len(a.people) > 0 {
		p = a.people[a.chance.IntN(len(a.people))]
	}
	s := p.some(a.chance)
	switch what := a.chance.IntN(100); {
	case !p.reached() || what < 15:
		a.register(ctx)
	case what < 40:
		a.confirm(ctx)
	case s == nil || what < 60:
		a.signIn(ctx, p)
	case what < 78:
		a.save(ctx, p, s)
	case what < 85:
		a.look(ctx, p, s)
	case what < 95:
		a.signOut(ctx, p, s)
	default:
		a.signOutEverywhere(ctx, p, s)
	}
}

// try sends a request to one of the copies.
func (a *actor) try(ctx context.Context, v visitor, method, path string, values ...string) answer {
	answer := a.ask(some(ctx, a.chance, a.d), v, method, path, values...)
	if answer.unknown() {
		a.unknown.Add(1)
		pause(ctx, between(a.chance, 0, 20*time.Millisecond)) // as a user who has to press the button again
	}
	return answer
}

// register registers an account. Without an answer, it tries again; the address may then be taken
// by the first attempt.
func (a *actor) register(ctx context.Context) {
	a.serial++
	p := &person{first: a.address(), password: password, tokens: map[string]*token{},
		is: []profile{{"Someone", a.address()}}, had: []string{a.address()}}
	a.people = append(a.people, p)
	for ctx.Err() == nil {
		switch answer := a.try(ctx, nil, "POST", "/register", "name", p.is[0].name, "email", p.is[0].email,
			"password", p.password); {
		case answer.is("/register/sent"):
			p.told = true
			a.told.registered.Add(1)
			return
		case answer.status == 503:
			p.failed = answer.at
		case !answer.unknown():
			a.fault("a registration was answered %d: %s", answer.status, answer.body)
			return
		}
	}
}

func (a *actor) address() string { return fmt.Sprintf("user-%d-%d@example.org", a.n, a.serial) }

// confirm redeems one link that has arrived and has not been used.
func (a *actor) confirm(ctx context.Context) {
	for _, p := range a.people {
		if !p.reached() {
			continue
		}
		for _, m := range a.mail.emails(p.is[0].email, confirmSubject) {
			if known := p.tokens[m.token]; known == nil || known.redeemed == 0 {
				a.redeem(ctx, p, m)
				return
			}
		}
	}
}

// redeem uses a link from two clients at once and, if it worked, once more.
func (a *actor) redeem(ctx context.Context, p *person, m email) {
	if p.tokens[m.token] == nil {
		p.tokens[m.token] = &token{to: m.to}
	}
	k := p.tokens[m.token]
	was := k.redeemed
	var answers [2]answer
	var both sync.WaitGroup
	for i := range answers {
		at := some(ctx, a.chance, a.d)
		both.Go(func() { answers[i] = a.ask(at, nil, "POST", "/verify", "token", m.token) })
	}
	both.Wait()
	refused := a.count(k, answers[0]) + a.count(k, answers[1])
	switch current := p.reached() && p.is[0].email == m.to; {
	case k.redeemed > 1:
		a.fault("a link worked %d times: %s", k.redeemed, m.to)
	case current && k.redeemed == 0 && !k.doubtful:
		a.fault("a valid link was refused %d times: %s", refused, m.to)
	case k.redeemed > was:
		a.told.confirmed.Add(1)
		if answer := a.try(ctx, nil, "POST", "/verify", "token", m.token); answer.is("/verify/done") {
			a.fault("a used link worked again: %s", m.to)
		}
	}
}

// count records the answer to a redemption. It returns 1 if the link was refused.
func (l *load) count(k *token, answer answer) (refused int) {
	switch {
	case answer.is("/verify/done"):
		k.redeemed++
	case answer.status == 410:
		l.told.refused.Add(1)
		return 1
	case answer.unknown():
		k.doubtful = true
		l.unknown.Add(1)
	default:
		l.fault("a confirmation was answered %d: %s", answer.status, answer.body)
	}
	return 0
}

// signIn signs in with a known or a new browser.
func (a *actor) signIn(ctx context.Context, p *person) {
	v := visitor{}
	if len(p.devices) > 0 && a.chance.IntN(3) > 0 {
		v[deviceCookie] = p.devices[a.chance.IntN(len(p.devices))]
	}
	answer := a.try(ctx, v, "POST", "/login", "email", p.is[0].email, "password", p.password)
	if v[deviceCookie] == "" {
		p.notices += p.newDevice(answer.is("/"), true)
		p.maxNotices += p.newDevice(answer.is("/"), false)
		if answer.unknown() {
			p.lost++
		}
	}
	switch {
	case answer.is("/"):
		s := &session{cookie: answer.set[sessionCookie]}
		if s.cookie == "" {
			a.fault("a login set no session cookie")
			return
		}
		p.sessions = append(p.sessions, s)
		if d := answer.set[deviceCookie]; d != "" && !slices.Contains(p.devices, d) {
			p.devices = append(p.devices, d)
		}
		a.told.signedIn.Add(1)
		a.look(ctx, p, s)
	case answer.unknown():
		p.doubtful++
	default:
		a.fault("a sign-in was answered %d: %s", answer.status, answer.body)
	}
}

// look checks the state of a session on one of the copies.
func (a *actor) look(ctx context.Context, p *person, s *session) {
	a.judge(p, s, a.try(ctx, visitor{sessionCookie: s.cookie}, "GET", "/"))
}

// judge compares the home page with the expected state of a session and an account.
func (l *load) judge(p *person, s *session, answer answer) {
	if answer.unknown() {
		return
	}
	in := strings.Contains(answer.body, "You are signed in as")
	if in == strings.Contains(answer.body, "<h1>Welcome to ") {
		l.fault("the home page shows neither or both states: %s", answer.body)
	}
	if in && s.state == ended || !in && s.state == live {
		l.fault("signed in: %v, but the session is %v (0: live, 2: ended): %s", in, s.state, p.is[0].email)
	}
	if in && !slices.ContainsFunc(p.is, func(one profile) bool {
		return strings.Contains(answer.body, ">"+one.email+"</strong>") &&
			strings.Contains(answer.body, "Hello, <bdi>"+one.name+"</bdi></h1>")
	}) {
		l.fault("the home page shows another profile than %+v: %s", p.is, answer.body)
	}
}

// save changes the name. (An address changes only by a link.)
func (a *actor) save(ctx context.Context, p *person, s *session) {
	a.serial++
	to := profile{fmt.Sprintf("Name %d", a.serial), p.is[0].email}
	answer := a.try(ctx, visitor{sessionCookie: s.cookie}, "POST", "/settings/profile", "name", to.name)
	switch {
	case answer.is("/settings"):
		p.is = []profile{to}
		a.told.saved.Add(1)
		a.look(ctx, p, s)
	case answer.unknown():
		p.is = append(p.is, to)
	default:
		a.fault("a change of the profile was answered %d %s: %s", answer.status, answer.location, answer.body)
	}
}

// signOut ends a session and checks that its cookie no longer works on any copy.
func (a *actor) signOut(ctx context.Context, p *person, s *session) {
	switch answer := a.try(ctx, visitor{sessionCookie: s.cookie}, "POST", "/logout"); {
	case answer.is("/"):
		s.state = ended
		a.told.signedOut.Add(1)
		a.look(ctx, p, s)
	case answer.unknown():
		s.state = doubtful
	default:
		a.fault("a sign-out was answered %d: %s", answer.status, answer.body)
	}
}

// signOutEverywhere ends all sessions of an account.
func (a *actor) signOutEverywhere(ctx context.Context, p *person, s *session) {
	to := ended
	switch answer := a.try(ctx, visitor{sessionCookie: s.cookie}, "POST", "/sessions/end-all"); {
	case answer.is("/"):
		p.doubtful = 0
		a.told.signedOut.Add(1)
	case answer.unknown():
		to = doubtful
	default:
		a.fault("a sign-out everywhere was answered %d: %s", answer.status, answer.body)
		return
	}
	for _, one := range p.sessions {
		if one.state < to {
			one.state = to
		}
	}
	for _, one := range p.sessions {
		a.look(ctx, p, one)
	}
}
