package processtest_test

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

// A load is people who use a deployment, all at once. Each does one thing after the other, and remembers what they were told.
type load struct {
	*public
	d      *deployment
	mail   *mailbox
	actors []*actor
	end    context.CancelFunc
	done   sync.WaitGroup

	told    counts // what was answered with success
	unknown atomic.Int64
}

// counts are how often each thing was done.
type counts struct{ registered, confirmed, signedIn, saved, signedOut, refused atomic.Int64 }

func (c *counts) String() string {
	return fmt.Sprintf("%d registrations, %d confirmed addresses, %d sign-ins, %d saved profiles, %d sign-outs",
		c.registered.Load(), c.confirmed.Load(), c.signedIn.Load(), c.saved.Load(), c.signedOut.Load())
}

// An actor has accounts that nobody else uses: so what they are told tells what there is.
type actor struct {
	*load
	n      int
	chance *rand.Rand
	people []*person
	serial int
}

// A person is an account.
type person struct {
	password string
	first    string    // the address that it was made with
	told     bool      // that there is an account
	is       []profile // what may be saved: one, unless a change was not answered
	sessions []*session
	doubtful int // sign-ins without an answer
	devices  []string
	lost     int // devices whose cookie may have been made, and did not arrive
	tokens   map[string]*token
	had      []string  // all addresses that there may ever have been
	news     int       // mails about a new device that have to come
	newsMax  int       // and that may come
	failed   time.Time // when a registration was answered with 503
}

type profile struct{ name, email string }

// reached says that there is an account, and at which address: only its name may be uncertain.
func (p *person) reached() bool {
	return p.told && !slices.ContainsFunc(p.is, func(one profile) bool { return one.email != p.is[0].email })
}

// A session is as its cookie and what was done with it say.
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

// A token is one out of a mail.
type token struct {
	to       string
	redeemed int
	doubtful bool // a try was not answered
}

const password = "correct horse battery staple"

// start lets actors work until stop is called.
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

// under waits until people are doing everything that they do.
func (l *load) under() {
	l.t.Helper()
	c := &l.told
	eventually(l.t, 2*time.Minute, func() bool {
		return c.registered.Load() > 0 && c.confirmed.Load() > 0 && c.signedIn.Load() > 0 && c.saved.Load() > 0 && c.signedOut.Load() > 0
	}, "not everything was done yet: %s", c)
}

func (l *load) stop() {
	l.end()
	l.done.Wait()
}

// act does one thing.
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
		a.everywhere(ctx, p, s)
	}
}

// some gives a session that is signed in.
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

// try asks one of the copies.
func (a *actor) try(ctx context.Context, v visitor, method, path string, values ...string) answer {
	answer := a.ask(some(ctx, a.chance, a.d), v, method, path, values...)
	if answer.unknown() {
		a.unknown.Add(1)
		pause(ctx, between(a.chance, 0, 20*time.Millisecond)) // as somebody would who has to press the button again
	}
	return answer
}

// register makes an account. Who gets no answer tries again: then the address may be taken, by themselves.
func (a *actor) register(ctx context.Context) {
	a.serial++
	p := &person{first: a.address(), password: password, tokens: map[string]*token{}, is: []profile{{"Somebody", a.address()}}, had: []string{a.address()}}
	a.people = append(a.people, p)
	for ctx.Err() == nil {
		switch answer := a.try(ctx, nil, "POST", "/register", "name", p.is[0].name, "email", p.is[0].email, "password", p.password); {
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

// confirm redeems the links that have come, each by two clients at once.
func (a *actor) confirm(ctx context.Context) {
	for _, p := range a.people {
		if !p.reached() {
			continue
		}
		for _, letter := range a.mail.letters(p.is[0].email, confirmSubject) {
			if known := p.tokens[letter.token]; known == nil || known.redeemed == 0 {
				a.redeem(ctx, p, letter)
				return
			}
		}
	}
}

// redeem has two clients use a link at once, and another one after it was of use.
func (a *actor) redeem(ctx context.Context, p *person, l letter) {
	if p.tokens[l.token] == nil {
		p.tokens[l.token] = &token{to: l.to}
	}
	k := p.tokens[l.token]
	was := k.redeemed
	var answers [2]answer
	var both sync.WaitGroup
	for i := range answers {
		at := some(ctx, a.chance, a.d)
		both.Go(func() { answers[i] = a.ask(at, nil, "POST", "/verify", "token", l.token) })
	}
	both.Wait()
	again := a.count(k, answers[0]) + a.count(k, answers[1])
	switch current := p.reached() && p.is[0].email == l.to; {
	case k.redeemed > 1:
		a.fault("a link was of use %d times: %s", k.redeemed, l.to)
	case current && k.redeemed == 0 && !k.doubtful:
		a.fault("a good link was refused %d times at once: %s", again, l.to)
	case k.redeemed > was:
		a.told.confirmed.Add(1)
		if answer := a.try(ctx, nil, "POST", "/verify", "token", l.token); answer.is("/verify/done") {
			a.fault("a link was of use again: %s", l.to)
		}
	}
}

// count notes an answer to a try to redeem, and gives 1 for a refusal.
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

// signIn signs in, with a browser that the account knows or with a new one.
func (a *actor) signIn(ctx context.Context, p *person) {
	v := visitor{}
	if len(p.devices) > 0 && a.chance.IntN(3) > 0 {
		v[deviceCookie] = p.devices[a.chance.IntN(len(p.devices))]
	}
	answer := a.try(ctx, v, "POST", "/login", "email", p.is[0].email, "password", p.password)
	if v[deviceCookie] == "" {
		p.news, p.newsMax = p.news+p.newDevice(answer.is("/"), true), p.newsMax+p.newDevice(answer.is("/"), false)
		if answer.unknown() {
			p.lost++
		}
	}
	switch {
	case answer.is("/"):
		s := &session{cookie: answer.set[sessionCookie]}
		if s.cookie == "" {
			a.fault("somebody was signed in without a cookie")
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

// newDevice gives 1 where a sign-in with a new device has to be told by mail or, unless certainly, may be: where the account
// has others, and its address is confirmed.
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

// look sees whether a cookie is what it should be, on any of the copies.
func (a *actor) look(ctx context.Context, p *person, s *session) {
	a.judge(p, s, a.try(ctx, visitor{sessionCookie: s.cookie}, "GET", "/"))
}

func (l *load) judge(p *person, s *session, answer answer) {
	if answer.unknown() {
		return
	}
	in := strings.Contains(answer.body, "You are signed in as")
	if in == strings.Contains(answer.body, "You are not signed in.") {
		l.fault("the start page says neither: %s", answer.body)
	}
	if in && s.state == ended || !in && s.state == live {
		l.fault("signed in: %v, and the session is %v (0: live, 2: ended): %s", in, s.state, p.is[0].email)
	}
	if in && !slices.ContainsFunc(p.is, func(one profile) bool {
		return strings.Contains(answer.body, "<strong>"+one.email+"</strong>") && strings.Contains(answer.body, "Hello, "+one.name+"</h1>")
	}) {
		l.fault("the start page shows what is not saved, or somebody else: %+v: %s", p.is, answer.body)
	}
}

// save changes the name, or the name and the address.
func (a *actor) save(ctx context.Context, p *person, s *session) {
	a.serial++
	to := profile{fmt.Sprintf("Name %d", a.serial), p.is[0].email}
	if a.chance.IntN(4) == 0 {
		to.email = a.address()
		p.had = append(p.had, to.email)
	}
	for {
		answer := a.try(ctx, visitor{sessionCookie: s.cookie}, "POST", "/settings/profile", "name", to.name, "email", to.email, "current", password)
		switch {
		case answer.is("/settings?saved"):
			p.is = []profile{to}
			a.told.saved.Add(1)
			a.look(ctx, p, s)
			return
		case answer.unknown():
			p.is = append(p.is, to)
			if to.email == p.is[0].email || ctx.Err() != nil {
				return
			} // else: with an address that is not known, there is no going on
		default:
			a.fault("a change of the profile was answered %d %s: %s", answer.status, answer.location, answer.body)
			return
		}
	}
}

// signOut ends a session; what is asked with its cookie afterwards is anonymous, wherever it is asked.
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

// everywhere ends all sessions of an account.
func (a *actor) everywhere(ctx context.Context, p *person, s *session) {
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
