package flowhook_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// An undeletableStore is a store whose DeleteToken fails on demand.
type undeletableStore struct {
	*memstore.Store
	deletion func(ctx context.Context) error // nil: it works
}

func (f *undeletableStore) DeleteToken(ctx context.Context, hash []byte) error {
	if f.deletion != nil {
		return f.deletion(ctx)
	}
	return f.Store.DeleteToken(ctx, hash)
}

// An emailService is a pipeline with a verify hook at registration, whose courier fails on demand.
type emailService struct {
	t        *testing.T
	pipeline *flowhook.Pipeline
	store    *undeletableStore
	log      *flowtest.LogBuffer
	now      func() time.Time

	mu   sync.Mutex
	send func(ctx context.Context) error // nil: it works
	sent int
}

func newEmailService(t *testing.T, now func() time.Time, outbox bool) *emailService {
	o := &emailService{t: t, store: &undeletableStore{Store: memstore.New()}, log: &flowtest.LogBuffer{}, now: now}
	cfg, err := flowhook.ParseConfig([]byte(withVerify("interval: 24h")))
	require.NoError(t, err)
	o.pipeline, err = flowhook.New(cfg, flowhook.Options{Store: o.store, Courier: o, Outbox: outbox, Now: now,
		VerificationURL: "https://auth.example/verify", Logger: slog.New(slog.NewTextHandler(o.log, nil))})
	require.NoError(t, err)
	return o
}

func (o *emailService) Send(ctx context.Context, _ flowhook.Message) error {
	o.mu.Lock()
	send := o.send
	o.mu.Unlock()
	if send != nil {
		if err := send(ctx); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	return nil
}

// breaks replaces what the courier does; nil makes it work again.
func (o *emailService) breaks(send func(ctx context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send = send
}

func (o *emailService) emails() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// register registers a user with an unverified address, and returns how long that took.
func (o *emailService) register(addresses ...string) (took time.Duration) {
	o.t.Helper()
	began := time.Now()
	rec := httptest.NewRecorder()
	who := &flowhook.Identity{ID: "carol"}
	for _, value := range addresses {
		who.Addresses = append(who.Addresses, flowhook.Address{Via: "email", Value: value})
	}
	x := &flowhook.Exchange{Writer: rec, Request: flowtest.NewRequest(), Identity: who}
	handled, err := o.pipeline.Complete(flowhook.NewContext(o.t.Context(), x), flowhook.Registration,
		flowhook.Password, nil)
	require.NoError(o.t, err)
	require.False(o.t, handled)
	return time.Since(began)
}

func TestCourier_UnsentEmailDoesNotCount(t *testing.T) {
	for name, send := range map[string]func(context.Context) error{
		"error":           func(context.Context) error { return flowtest.ErrStoreDown },
		"panic":           func(context.Context) error { panic("carol@example.org: no such mailbox") },
		"ErrAbortHandler": func(context.Context) error { panic(http.ErrAbortHandler) },
		"Goexit":          func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			clock := flowtest.NewClock()
			o := newEmailService(t, clock.Now, false)
			o.breaks(send)
			o.register("carol@example.org")
			require.Zero(t, o.emails())
			require.Equal(t, 1, strings.Count(o.log.String(), "failed after the commit"))
			require.NotContains(t, o.log.String(), "carol@example.org")
			if name == "panic" {
				require.Equal(t, 1, strings.Count(o.log.String(), "a hook panicked"))
				require.Contains(t, o.log.String(), "courier_test.go:", "want the courier's stack")
			}

			o.breaks(nil)
			clock.Add(time.Hour)
			o.register("carol@example.org")
			require.Equal(t, 1, o.emails(), "the unsent email counts against the interval")
			o.register("carol@example.org")
			require.Equal(t, 1, o.emails(), "the sent email does not count")
		})
	}
}

func TestCourier_TokenCannotBeDeleted(t *testing.T) {
	for name, deletion := range map[string]func(context.Context) error{
		"error":  func(context.Context) error { return errors.New("the store is away") },
		"panic":  func(context.Context) error { panic("the store is away") },
		"Goexit": func(context.Context) error { runtime.Goexit(); return nil },
		"deadline": func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("the store is away")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newEmailService(t, time.Now, false)
				o.breaks(func(context.Context) error { return flowtest.ErrStoreDown })
				o.store.deletion = deletion
				require.Equal(t, name == "deadline", o.register("carol@example.org") == 10*time.Second)
				require.Contains(t, o.log.String(), "still counts against the interval")
				if name != "Goexit" {
					require.Contains(t, o.log.String(), "the store is away")
				}
				o.breaks(nil)
				o.register("carol@example.org")
				require.Zero(t, o.emails())
			})
		})
	}
}

// The deletion has its own context, because that of the courier has just ended.
func TestCourier_TimeoutDeletesToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newEmailService(t, time.Now, false)
		o.breaks(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		require.Equal(t, 10*time.Second, o.register("carol@example.org"))
		require.Contains(t, o.log.String(), "did not send the email")
		require.NotContains(t, o.log.String(), "no longer waited for")
		o.breaks(nil)
		o.register("carol@example.org")
		require.Equal(t, 1, o.emails())
	})
}

func TestCourier_TokenFromFutureDoesNotCount(t *testing.T) {
	clock := flowtest.NewClock()
	o := newEmailService(t, clock.Now, false)
	clock.Add(365 * 24 * time.Hour)
	o.register("carol@example.org")
	clock.Add(-365 * 24 * time.Hour)
	o.register("carol@example.org")
	require.Equal(t, 2, o.emails(), "a token from the future blocks emails for a year")
	o.register("carol@example.org")
	require.Equal(t, 2, o.emails())
}

func TestCourier_SpellingsOfOneMailbox(t *testing.T) {
	o := newEmailService(t, flowtest.NewClock().Now, false)
	for i := range 24 {
		address := []byte("carol@example.org")
		for at := range 5 {
			if i>>at&1 == 1 {
				address[at] -= 'a' - 'A'
			}
		}
		o.register(string(address))
	}
	require.Equal(t, 1, o.emails())
}

func TestCourier_IgnoresContext(t *testing.T) {
	// stuck returns a courier that ignores its context.
	stuck := func(o *emailService) (release func(then func() error)) {
		ch := make(chan func() error, 1)
		o.breaks(func(context.Context) error { return (<-ch)() })
		return func(then func() error) { ch <- then }
	}
	const limit = 11 * time.Second

	t.Run("courier is not waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newEmailService(t, time.Now, false)
			release := stuck(o)
			took := o.register("carol@example.org")
			require.GreaterOrEqual(t, took, 10*time.Second)
			require.Less(t, took, limit)
			require.Contains(t, o.log.String(), "no longer waited for")
			require.Contains(t, o.log.String(), "hook verify")
			before := o.log.String()

			release(func() error { return nil })
			synctest.Wait()
			require.Equal(t, 1, o.emails())
			require.Equal(t, before, o.log.String(), "a late success must not be logged")
			o.breaks(nil)
			o.register("carol@example.org")
			require.Equal(t, 1, o.emails(), "the email sent late does not count")
		})
	})

	t.Run("several addresses delay the answer once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newEmailService(t, time.Now, false)
			release := stuck(o)
			addresses := []string{"a@example.org", "b@example.org", "c@example.org"}
			require.Less(t, o.register(addresses...), limit)
			for range addresses {
				release(func() error { return nil })
				synctest.Wait()
			}
			require.Equal(t, len(addresses), o.emails())
		})
	})

	t.Run("token is kept while the outcome is unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newEmailService(t, time.Now, false)
			release := stuck(o)
			o.register("carol@example.org")
			o.breaks(nil)
			o.register("carol@example.org")
			require.Zero(t, o.emails())
			release(func() error { return nil })
		})
	})

	for name, then := range map[string]func() error{
		"fails":               func() error { return flowtest.ErrStoreDown },
		"panics":              func() error { panic("carol@example.org: no such mailbox") },
		"aborts":              func() error { panic(http.ErrAbortHandler) },
		"ends its goroutine":  func() error { runtime.Goexit(); return nil },
		"panics with nothing": func() error { panic(error(nil)) },
	} {
		t.Run(name+" later, and its token is deleted", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newEmailService(t, time.Now, false)
				release := stuck(o)
				o.register("carol@example.org")
				release(then)
				synctest.Wait()
				require.Equal(t, 1, strings.Count(o.log.String(), "a courier that was no longer waited for has failed"))
				require.NotContains(t, o.log.String(), "carol@example.org")
				o.breaks(nil)
				o.register("carol@example.org")
				require.Equal(t, 1, o.emails())
			})
		})
	}

	t.Run("courier and deletion fail later", func(t *testing.T) {
		for _, deletion := range []func(context.Context) error{
			func(context.Context) error { return flowtest.ErrStoreDown },
			func(context.Context) error { panic("the store's") },
			func(context.Context) error { runtime.Goexit(); return nil },
		} {
			synctest.Test(t, func(t *testing.T) {
				o := newEmailService(t, time.Now, false)
				o.store.deletion = deletion
				release := stuck(o)
				o.register("carol@example.org")
				release(func() error { return flowtest.ErrStoreDown })
				synctest.Wait()
				require.Contains(t, o.log.String(), "still counts against the interval")
			})
		}
	})

	t.Run("courier is waited for with an outbox", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newEmailService(t, time.Now, true)
			o.breaks(func(context.Context) error { time.Sleep(time.Minute); return nil })
			require.Equal(t, time.Minute, o.register("carol@example.org"))
			require.Equal(t, 1, o.emails())
		})
	})
}

func TestAddress_Undeliverable(t *testing.T) {
	const bad = "user..name@example.jp"
	email := func(value string, verified bool) flowhook.Address {
		return flowhook.Address{Via: "email", Value: value, Verified: verified}
	}
	run := func(t *testing.T, h *flowtest.Service, flow flowhook.Flow, addresses ...flowhook.Address) error {
		x := &flowhook.Exchange{Writer: flowtest.DiscardWriter{}, Request: flowtest.NewRequest(),
			Identity: &flowhook.Identity{ID: "carol", Addresses: addresses}}
		_, err := h.Pipeline.Run(flowhook.NewContext(t.Context(), x), flow, flowhook.After, flowhook.Password)
		return err
	}
	everywhere := "selfservice: {login: {after: [{hook: verify}]}, settings: {after: [{hook: verify}]}, registration: {after: [{hook: verify}]}}"

	t.Run("error is ErrBadAddress", func(t *testing.T) {
		for _, flow := range []flowhook.Flow{flowhook.Registration, flowhook.Settings, flowhook.Login} {
			h := flowtest.NewService(t, everywhere)
			err := run(t, h, flow, email(bad, false))
			require.ErrorIs(t, err, flowhook.ErrBadAddress)
			require.ErrorContains(t, err, "address 1 of the identity: flowhook: bad address: not one plain address")
			require.NotContains(t, err.Error(), bad)
			require.Empty(t, h.Mail.Take())
		}
	})

	t.Run("store error is not ErrBadAddress", func(t *testing.T) {
		store := flowtest.NewRecordingStore()
		h := flowtest.NewService(t, everywhere, func(_ *flowtest.Service, o *flowhook.Options) { o.Store = store })
		store.Fail["CreateToken"] = flowtest.ErrStoreDown
		err := run(t, h, flowhook.Registration, email("carol@example.org", false))
		require.ErrorIs(t, err, flowtest.ErrStoreDown)
		require.NotErrorIs(t, err, flowhook.ErrBadAddress)
	})

	t.Run("other addresses get their emails", func(t *testing.T) {
		h := flowtest.NewService(t, everywhere)
		require.NoError(t, run(t, h, flowhook.Settings, email(bad, false), email("carol@example.org", false),
			email("c@example.org", false)))
		mails := h.Mail.Take()
		require.Len(t, mails, 2)
		require.Equal(t, "carol@example.org", mails[0].To)
		require.Equal(t, "c@example.org", mails[1].To)
		require.Contains(t, h.Log.String(), "level=WARN")
		require.Contains(t, h.Log.String(), "address=1")
		require.NotContains(t, h.Log.String(), bad)
		require.NoError(t, run(t, h, flowhook.Settings, email("carol@example.org", false), email(bad, false)),
			"the interval must not apply")
	})

	t.Run("bad address beside a verified one is rejected", func(t *testing.T) {
		err := run(t, flowtest.NewService(t, everywhere), flowhook.Settings, email("carol@example.org", true),
			email(bad, false))
		require.ErrorIs(t, err, flowhook.ErrBadAddress)
		require.ErrorContains(t, err, "address 2 of the identity")
	})

	t.Run("user with a verified address signs in", func(t *testing.T) {
		h := flowtest.NewService(t, everywhere)
		require.NoError(t, run(t, h, flowhook.Login, email(bad, false), email("carol@example.org", true)))
		require.Empty(t, h.Mail.Take())
		require.Contains(t, h.Log.String(), "address=1")
	})

	t.Run("verified address is not checked", func(t *testing.T) {
		h := flowtest.NewService(t, everywhere)
		require.NoError(t, run(t, h, flowhook.Settings, email(bad, true)))
		require.NotContains(t, h.Log.String(), "cannot be written to")
	})

	t.Run("Check reports the address", func(t *testing.T) {
		require.NoError(t, email("user.name@example.jp", false).Check())
		require.NoError(t, flowhook.Address{Via: "sms", Value: "+810000000"}.Check())
		err := email(bad, false).Check()
		require.ErrorIs(t, err, flowhook.ErrBadAddress)
		require.NotContains(t, err.Error(), bad)
	})
}

func TestAddress_Key(t *testing.T) {
	email := func(value string) string { return flowhook.Address{Via: "email", Value: value}.Key() }

	t.Run("letter case is ignored", func(t *testing.T) {
		require.Equal(t, "alice+x@example.org", email("ALICE+x@Example.ORG"))
		for _, pair := range [][2]string{
			{"élodie@example.org", "ÉLODIE@EXAMPLE.ORG"},
			{"ΣΑΣ@example.org", "σας@example.org"},
			{"kim@example.org", "\u212aim@example.org"}, // the Kelvin sign
		} {
			require.Equal(t, email(pair[0]), email(pair[1]))
		}
	})

	t.Run("different letters differ", func(t *testing.T) {
		for _, pair := range [][2]string{
			{"elodie@example.org", "élodie@example.org"},
			{"i@example.org", "ı@example.org"},
			{"i@example.org", "İ@example.org"},
			{"strasse@example.org", "straße@example.org"},
		} {
			require.NotEqual(t, email(pair[0]), email(pair[1]))
		}
	})

	t.Run("every rune agrees with strings.EqualFold", func(t *testing.T) {
		for r := rune(0); r <= unicode.MaxRune; r++ {
			if !utf8.ValidRune(r) {
				continue
			}
			next := unicode.SimpleFold(r)
			require.Equal(t, email(string(r)), email(string(next)), "%U and %U", r, next)
			require.True(t, strings.EqualFold(email(string(r)), string(r)), "%U", r)
		}
	})

	t.Run("Via other than email keeps the value", func(t *testing.T) {
		for _, via := range []string{"", "sms", "Email", "chat"} {
			require.Equal(t, "Alice@Example.ORG", flowhook.Address{Via: via, Value: "Alice@Example.ORG"}.Key())
		}
	})

	t.Run("Value is unchanged and Verified is ignored", func(t *testing.T) {
		a := flowhook.Address{Via: "email", Value: "Alice@Example.ORG", Verified: true}
		require.Equal(t, "alice@example.org", a.Key())
		require.Equal(t, "Alice@Example.ORG", a.Value)
	})
}

// The error names the problem and does not show the address.
func TestAddress_CheckNamesProblem(t *testing.T) {
	for value, want := range map[string]string{
		"":                                     "it is empty",
		strings.Repeat("a", 255):               "it is longer than 254 bytes",
		"user..name@example.jp":                "it has two dots in a row",
		".user@example.org":                    "the part before the @ begins or ends with a dot",
		"user.@example.org":                    "the part before the @ begins or ends with a dot",
		"user":                                 "it has no @",
		"user@":                                "nothing is after the @",
		"@example.org":                         "nothing is before the @",
		"us er@example.org":                    "it has a space or an unprintable character",
		"user@example.org\nBcc: a@example.org": "a quoted part or more than one address",
		"user\x00@example.org":                 "it has a space or an unprintable character",
		"\xff@example.org":                     "it has a space or an unprintable character",
		`"user..name"@example.jp`:              "a quoted part",
		"User <user@example.org>":              "a display name",
		"a@example.org,b@example.org":          "more than one address",
		"a@b@example.org":                      "it has more than one @",
	} {
		err := flowhook.Address{Via: "email", Value: value}.Check()
		require.ErrorIs(t, err, flowhook.ErrBadAddress, "%q", value)
		require.ErrorContains(t, err, "not one plain address, such as name@example.org: ", "%q", value)
		require.ErrorContains(t, err, want, "%q", value)
		if value != "@example.org" && len(value) > 5 {
			require.NotContains(t, err.Error(), value)
		}
	}
	require.NoError(t, flowhook.Address{Via: "email", Value: "user.name@example.jp"}.Check())
	require.NoError(t, flowhook.Address{Via: "sms", Value: "+4912345"}.Check())
}

// A queueing courier works only in the transaction.
type queueing struct{ flowhook.Courier }

func (queueing) NeedsOutbox() {}

func TestNew_CourierNeedsOutbox(t *testing.T) {
	_, err := flowhook.New(nil, flowhook.Options{Courier: queueing{}})
	require.EqualError(t, err, "Options.Courier: a flowhook_test.queueing sends emails only in the transaction; set Options.Outbox")
	_, err = flowhook.New(nil, flowhook.Options{Courier: queueing{}, Outbox: true})
	require.NoError(t, err)
}
