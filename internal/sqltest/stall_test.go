package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// stallLimit is how long the store waits for an answer that does not come. What has to return in
// spite of a stall may take stallPatience.
const (
	stallLimit    = 200 * time.Millisecond
	stallPatience = 5 * time.Second
)

// setLimit sets how long a store waits for the answer to a commit or rollback.
func setLimit(s *sqlstore.Store, limit time.Duration) {
	f := reflect.ValueOf(s).Elem().FieldByName("limit")
	*(*time.Duration)(f.Addr().UnsafePointer()) = limit
}

// stalling is a store with a single connection, which goes through a proxy.
type stalling struct {
	t      *testing.T
	proxy  *proxy
	db     *sql.DB
	store  *sqlstore.Store
	direct *sqlstore.Store // the same database, without the proxy
}

func newStalling(t *testing.T, d database, parameters string) *stalling {
	source := d.migrated(t)
	direct, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	h := &stalling{t: t, proxy: d.through(t, source), direct: direct}
	h.db = d.connect(t, h.proxy.source+parameters)
	h.db.SetMaxOpenConns(1)
	h.store, err = sqlstore.New(h.db, d.dialect)
	require.NoError(t, err)
	h.requireServes("before the stall")
	h.requireLockFree("before the stall")
	return h
}

// requireServes asserts that the pool has a connection that works.
func (h *stalling) requireServes(when string) {
	h.t.Helper()
	setLimit(h.store, patience)
	err := h.returns(func() error {
		return h.store.Transaction(testContext(h.t), "a", func(ctx context.Context) error {
			return h.store.CreateSession(ctx, newSession("a"))
		})
	})
	require.NoError(h.t, err, when)
	setLimit(h.store, stallLimit)
}

// requireLockFree asserts that nothing keeps the identity's lock.
func (h *stalling) requireLockFree(when string) {
	h.t.Helper()
	err := h.returns(func() error {
		return h.direct.Transaction(testContext(h.t), "a", func(ctx context.Context) error { return nil })
	})
	require.NoError(h.t, err, when)
}

// returns asserts that do returns though the server stalls, and returns its error. A panic is one.
func (h *stalling) returns(do func() error) error {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(stallPatience):
		h.proxy.cut() // else the pool would not close
		h.t.Fatal("the call does not return")
		return nil
	}
}

// stored returns how many of the sessions are stored.
func (h *stalling) stored(sessions ...flowhook.Session) (n int) {
	h.t.Helper()
	for _, v := range sessions {
		switch _, err := h.direct.FindSession(testContext(h.t), v.ID); {
		case err == nil:
			n++
		default:
			require.ErrorIs(h.t, err, flowhook.ErrNotFound)
		}
	}
	return n
}

// lendings are the ways in which a host uses the transaction.
var lendings = map[string]func(ctx context.Context){
	"store's own":     func(context.Context) {},
	"lent":            func(ctx context.Context) { sqlstore.Tx(ctx) },
	"connection lent": func(ctx context.Context) { sqlstore.Tx(ctx); sqlstore.Conn(ctx) },
}

var verdicts = map[verdict]string{hold: "unread", holdAnswer: "unanswered"}

var errRefused = errors.New("refused on purpose")

// The server accepts COMMIT or ROLLBACK and does not answer.
func TestStall(t *testing.T) {
	refuses := func(context.CancelFunc) error { return errRefused }
	panics := func(context.CancelFunc) error { panic(errRefused) }
	ends := func(end context.CancelFunc) error { end(); return nil }
	cases := []struct {
		name       string
		statement  string
		save, hook func(end context.CancelFunc) error // nil: nothing goes wrong there
		err        error                              // nil: any
	}{
		{name: "COMMIT", statement: "COMMIT", err: sqlstore.ErrUnknownOutcome},
		{name: "ROLLBACK as save fails", statement: "ROLLBACK", save: refuses, err: errRefused},
		{name: "ROLLBACK as save panics", statement: "ROLLBACK", save: panics},
		{name: "ROLLBACK as a hook refuses", statement: "ROLLBACK", hook: refuses, err: errRefused},
		{name: "ROLLBACK as a hook panics", statement: "ROLLBACK", hook: panics},
		{name: "ROLLBACK as the context ends", statement: "ROLLBACK", hook: ends, err: context.Canceled},
	}
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			h := newStalling(t, d, "")
			for _, c := range cases {
				for v := range verdicts {
					if v == holdAnswer && c.statement != "COMMIT" {
						continue // it makes no difference
					}
					for name, lend := range lendings {
						t.Run(c.name+", "+verdicts[v]+", "+name, func(t *testing.T) {
							requireNoneLeft(t)
							h.t = t
							ctx, end := context.WithCancel(testContext(t))
							defer end()
							session := newSession("a")
							complete := h.complete(ctx, func(ctx context.Context) error {
								lend(ctx)
								if err := h.store.CreateSession(ctx, session); err != nil || c.save == nil {
									return err
								}
								return c.save(end)
							}, func() error {
								if c.hook == nil {
									return nil
								}
								return c.hook(end)
							})
							h.proxy.stall(v, c.statement)
							err := h.returns(complete)
							require.Error(t, err)
							if c.err != nil {
								require.ErrorIs(t, err, c.err)
							}
							if c.err != context.Canceled {
								require.NotErrorIs(t, err, context.Canceled)
								require.NotErrorIs(t, err, context.DeadlineExceeded)
							}
							require.Zero(t, h.db.Stats().OpenConnections, "the connection was not dropped")
							if d.dialect == sqlstore.MariaDB { // pgx tries for 15 s to cancel and to say goodbye
								h.requireLockFree("though the server stalls")
							}

							h.proxy.cut()
							h.requireServes("after the stall")
							h.requireLockFree("after the stall")
							stored := 0
							if v == holdAnswer && c.statement == "COMMIT" {
								stored = 1
							}
							require.Equal(t, stored, h.stored(session))
						})
					}
				}
			}
		})
	}
}

// The server answers COMMIT late, but within the limit.
func TestStall_late_answer(t *testing.T) {
	for _, d := range databases[1:] {
		for v, name := range verdicts {
			t.Run(d.name+"/"+name, func(t *testing.T) {
				h := newStalling(t, d, "")
				setLimit(h.store, patience)
				h.proxy.stall(v, "COMMIT")
				session := newSession("a")
				complete := h.complete(testContext(t), func(ctx context.Context) error {
					return h.store.CreateSession(ctx, session)
				}, func() error { return nil })
				done := make(chan error, 1)
				go func() { done <- complete() }()
				require.Eventually(t, func() bool { return h.proxy.holds() > 0 }, stallPatience, time.Millisecond)
				select {
				case err := <-done:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				h.proxy.heal()
				require.NoError(t, <-done)
				require.Equal(t, 1, h.stored(session))
				require.Equal(t, 1, h.db.Stats().OpenConnections, "the connection is kept")
			})
		}
	}
}

// complete returns a call of Complete with one hook.
func (h *stalling) complete(ctx context.Context, save func(ctx context.Context) error, hook func() error) func() error {
	h.t.Helper()
	var cfg flowhook.Config
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "host", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error { return hook() }))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Store: h.store, Secrets: []string{"a-secret-for-the-tests"},
		Logger: slog.New(slog.DiscardHandler)})
	require.NoError(h.t, err)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil),
		Identity: &flowhook.Identity{ID: "a"}}
	return func() error {
		_, err := pipeline.Complete(flowhook.NewContext(ctx, x), flowhook.Login, flowhook.Password, save)
		return err
	}
}

// Wherever the server stalls as a transaction ends, the call returns, all of it is stored or
// nothing, and the pool serves again.
func TestStallAtAnyMessageOfTheEnd(t *testing.T) {
	for _, d := range databases[1:] {
		for name, lend := range lendings {
			for _, refused := range []bool{false, true} {
				t.Run(d.name+"/"+name+"/"+map[bool]string{false: "commit", true: "rollback"}[refused], func(t *testing.T) {
					h := newStalling(t, d, "")
					requireNoneLeft(t)
					all := h.stallAt(forward, 0, refused, lend)
					require.NotZero(t, all)
					for v := range verdicts {
						for n := range all {
							h.stallAt(v, n+1, refused, lend)
						}
					}
				})
			}
		}
	}
}

// stallAt has v happen to the n-th message after fn, and returns how many there were.
func (h *stalling) stallAt(v verdict, n int32, refused bool, lend func(ctx context.Context)) (messages int32) {
	what := fmt.Sprintf("message %d, %s", n, verdicts[v])
	sessions := []flowhook.Session{newSession("a"), newSession("a")}
	ctx, cancel := context.WithCancel(testContext(h.t))
	defer cancel()
	var ends atomic.Bool
	var seen atomic.Int32
	h.proxy.on(func(m message) verdict {
		if ends.Load() && !m.opens && seen.Add(1) == n {
			return v
		}
		return forward
	})
	if n == 0 {
		setLimit(h.store, patience)
	}
	err := h.returns(func() error {
		return h.store.Transaction(ctx, "a", func(ctx context.Context) error {
			lend(ctx)
			for _, s := range sessions {
				if err := h.store.CreateSession(ctx, s); err != nil {
					return err
				}
			}
			ends.Store(true)
			if n > 0 {
				time.AfterFunc(stallLimit, cancel) // it bounds what is no commit or rollback
			}
			if refused {
				return errRefused
			}
			return nil
		})
	})
	messages = seen.Load()
	h.proxy.cut()
	h.requireServes("after " + what)
	stored := h.stored(sessions...)
	switch {
	case err == nil:
		require.Equal(h.t, 2, stored, what)
	case errors.Is(err, sqlstore.ErrUnknownOutcome):
		require.Contains(h.t, []int{0, 2}, stored, what)
	default:
		require.Zero(h.t, stored, "%s: %v", what, err)
	}
	if n == 0 {
		require.Equal(h.t, refused, err != nil, err)
	}
	return messages
}

// A request waits for a connection while the only one is dropped. database/sql opens another in the
// background, under no request's context, and the server does not answer that either. A time-out of
// the driver's ends the wait.
func TestStallAsAConnectionOpens(t *testing.T) {
	parameters := map[string]string{"PostgreSQL": "&connect_timeout=1", "MariaDB": "?readTimeout=1s"}
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			h := newStalling(t, d, parameters[d.name])
			requireNoneLeft(t)
			h.proxy.on(func(m message) verdict {
				if m.opens || strings.EqualFold(m.statement, "COMMIT") {
					return hold
				}
				return forward
			})
			waiting, waited := make(chan struct{}), make(chan error, 1)
			go func() {
				<-waiting
				ctx, cancel := context.WithTimeout(context.Background(), 2*stallLimit)
				defer cancel()
				waited <- h.store.Transaction(ctx, "b", func(context.Context) error { return nil })
			}()
			require.ErrorIs(t, h.returns(func() error {
				return h.store.Transaction(testContext(t), "a", func(context.Context) error {
					close(waiting)
					waitUntil(t, func() string {
						if h.db.Stats().WaitCount == 0 {
							return "nobody waits for a connection"
						}
						return ""
					})
					return nil
				})
			}), sqlstore.ErrUnknownOutcome)
			require.ErrorIs(t, <-waited, context.DeadlineExceeded)
			require.Equal(t, 1, h.db.Stats().OpenConnections, "none is being opened")

			h.proxy.on(nil) // the connection that hangs goes on hanging
			require.NoError(t, h.returns(func() (err error) {
				for range 2 { // the first may be told how the opening ended
					if err = h.store.Transaction(testContext(t), "c", func(context.Context) error { return nil }); err == nil {
						break
					}
				}
				return err
			}))
			h.proxy.cut()
		})
	}
}

// slowContext is a context whose Err calls wait before it returns an error. Its Done and AfterFunc
// do not wait.
type slowContext struct {
	context.Context
	wait func()
}

func (c slowContext) Err() error {
	err := c.Context.Err()
	if err != nil {
		c.wait()
	}
	return err
}

func (c slowContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// The context ends as the transaction begins, and database/sql has sent a ROLLBACK of its own when
// the store learns of it.
func TestStallOfARollbackByDatabaseSQL(t *testing.T) {
	d := databases[2]
	h := newStalling(t, d, "")
	db, f, err := d.faulty(h.proxy.source)
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	h.store, err = sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	h.requireServes("before the stall")
	f.arm(0, "")
	h.requireServes("before the stall")
	begin := slices.Index(f.seen, "Begin") + 1

	requireNoneLeft(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	f.requestBegins(cancel)
	f.arm(begin, endAfter)
	h.proxy.stall(hold, "ROLLBACK")
	slow := slowContext{ctx, func() {
		waitUntil(t, func() string {
			if h.proxy.holds() == 0 {
				return "database/sql does not roll back"
			}
			return ""
		})
	}}
	err = h.returns(func() error {
		return h.store.Transaction(slow, "a", func(context.Context) error { t.Error("it has ended"); return nil })
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "Begin", f.disarm())
	require.Equal(t, 1, h.proxy.holds(), "the ROLLBACK is still on its way")
	h.proxy.cut()
	h.store, err = sqlstore.New(db, d.dialect) // the other one still looks at its limit
	require.NoError(t, err)
	h.requireServes("after the stall")
}

// preparing is a connection that prepares every statement.
type preparing struct{ driver.Conn }

func (c preparing) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

type preparingConnector struct{ *recorder }

func (p preparingConnector) Connect(context.Context) (driver.Conn, error) {
	c, err := p.under.Open(p.source)
	return preparing{c}, err
}

// A connection that runs no statement unprepared can commit and roll back all the same.
func TestFinishOnAConnectionThatPrepares(t *testing.T) {
	d := databases[2]
	source := d.migrated(t)
	_, r := d.record(t, source)
	db := sql.OpenDB(preparingConnector{r})
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	kept, refused := newSession("a"), newSession("a")
	require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		return s.CreateSession(ctx, kept)
	}))
	require.ErrorIs(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, refused))
		return errRefused
	}), errRefused)
	_, err = s.FindSession(testContext(t), kept.ID)
	require.NoError(t, err)
	requireNone(t, s, refused.ID)
}
