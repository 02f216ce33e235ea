package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A wired store is one whose round trips to the database are counted.
type wired struct {
	name     string
	database database
	protocol proxy.Protocol

	// redirect returns the address of the source's server, and the source with another address.
	redirect func(t testing.TB, source, address string) (server, redirected string)

	// open returns a store, and how the host runs a statement in the transaction of a context.
	open func(t testing.TB, source string) (s flowhook.Store, exec hostExec)
}

// A hostExec runs a statement of the host in the transaction that ctx carries.
type hostExec func(ctx context.Context, query string, args ...any) error

var wiredStores = []wired{
	{"sqlstore on PostgreSQL", postgreSQL, proxy.PostgreSQL, redirectPostgreSQL, openSQL(postgreSQL)},
	{"pgxstore on PostgreSQL", postgreSQL, proxy.PostgreSQL, redirectPostgreSQL, openPgx},
	{"sqlstore on MariaDB", mariaDB, proxy.MariaDB, redirectMariaDB, openSQL(mariaDB)},
}

// redirectPostgreSQL disables TLS, because the proxy reads the messages.
func redirectPostgreSQL(t testing.TB, source, address string) (server, redirected string) {
	u, err := url.Parse(source)
	must(t, err)
	server, u.Host = u.Host, address
	u.RawQuery = "sslmode=disable"
	return server, u.String()
}

func redirectMariaDB(t testing.TB, source, address string) (server, redirected string) {
	config, err := mysql.ParseDSN(source)
	must(t, err)
	server, config.Addr = config.Addr, address
	config.InterpolateParams = true // else the driver prepares each statement
	return server, config.FormatDSN()
}

func openSQL(d database) func(t testing.TB, source string) (flowhook.Store, hostExec) {
	return func(t testing.TB, source string) (flowhook.Store, hostExec) {
		return store(t, d.open(t, source), d.dialect), func(ctx context.Context, query string, args ...any) error {
			tx, ok := sqlstore.Tx(ctx)
			if !ok {
				return errNoTransaction
			}
			_, err := tx.ExecContext(sqlstore.TxContext(ctx), d.placeholders(query), args...)
			return err
		}
	}
}

func openPgx(t testing.TB, source string) (flowhook.Store, hostExec) {
	return poolStore(t, openPool(t, source)), func(ctx context.Context, query string, args ...any) error {
		tx, ok := pgxstore.Tx(ctx)
		if !ok {
			return errNoTransaction
		}
		_, err := tx.Exec(ctx, postgreSQL.placeholders(query), args...)
		return err
	}
}

var errNoTransaction = errors.New("the context carries no transaction")

// roundTrips returns how many round trips each of countedCalls takes.
func (w wired) roundTrips(t testing.TB) (trips []int) {
	p, source := w.throughProxy(t)
	store, exec := w.open(t, source)
	s := newService(t, store, exec)
	for _, c := range countedCalls {
		trips = append(trips, count(t, p, func() work { return c.prepare(t, s) }))
	}
	return trips
}

// throughProxy returns the source of a new database with the service's table, through a proxy.
func (w wired) throughProxy(t testing.TB) (p *proxy.Proxy, source string) {
	source = w.database.migrated(t)
	_, err := w.database.open(t, source).Exec(hostTable)
	must(t, err)
	server, _ := w.redirect(t, source, "")
	p, err = proxy.Open(w.protocol, server)
	must(t, err)
	t.Cleanup(p.Close)
	_, source = w.redirect(t, source, p.Address())
	return p, source
}

// count returns the round trips of one call, as the median of several. Before that, the driver
// prepares its statements. The second call on a connection of database/sql begins with a ping, as
// does one after a second without any.
func count(t testing.TB, p *proxy.Proxy, prepare func() work) int {
	const warmUp, times = 2, 5
	var trips []int
	for i := range warmUp + times {
		call := prepare()
		before := p.RoundTrips()
		must(t, call(context.Background()))
		if i >= warmUp {
			trips = append(trips, p.RoundTrips()-before)
		}
	}
	slices.Sort(trips)
	return trips[times/2]
}

// tripTable writes the table of round trips, and returns an exit code.
func tripTable(t testing.TB) (code int) {
	header := "| call |"
	lines := make([]string, len(countedCalls))
	for _, w := range wiredStores {
		if missing := w.database.missing(); missing != "" {
			code = skipped(missing)
			header += " " + w.name + " (not measured: " + missing + ") |"
			for i := range lines {
				lines[i] += " |"
			}
			continue
		}
		header += " " + w.name + " |"
		for i, n := range w.roundTrips(t) {
			lines[i] += fmt.Sprintf(" %d |", n)
		}
	}
	fmt.Fprint(out, "\nRound trips to the database, on a connection that is in use.\n\n"+header+"\n"+
		"|---|"+strings.Repeat("---:|", len(wiredStores))+"\n")
	for i, c := range countedCalls {
		fmt.Fprintln(out, "| "+c.name+" |"+lines[i])
	}
	return code
}
