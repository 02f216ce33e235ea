package main

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
)

// mostTrips are the most round trips of the counted calls, in their order.
var mostTrips = map[string][]int{
	"sqlstore on PostgreSQL": {6, 6, 6, 1, 4, 5, 1},
	"pgxstore on PostgreSQL": {5, 5, 5, 1, 3, 4, 1},
	"sqlstore on MariaDB":    {9, 9, 9, 1, 5, 8, 1},
}

func TestRoundTrips(t *testing.T) {
	for _, w := range wiredStores {
		t.Run(w.name, func(t *testing.T) {
			for i, n := range w.roundTrips(t) {
				if most := mostTrips[w.name][i]; n < 1 || n > most {
					t.Errorf("%s: %d round trips; want 1 to %d", countedCalls[i].name, n, most)
				}
			}
		})
	}
}

// The sign-ins that are compared take the round trips that docs/performance.md mentions.
func TestRoundTrips_SignIn(t *testing.T) {
	w := wiredStores[0]
	p, source := w.throughProxy(t)
	db, pool := postgreSQL.open(t, source), openPool(t, source)
	for name, of := range map[string]struct {
		call work
		want int
	}{
		"the bare statements": {bareLogin(postgreSQL, db), 5},
		"sqlstore":            {flowhookLogin(t, store(t, db, postgreSQL.dialect)), 5},
		"pgxstore":            {flowhookLogin(t, poolStore(t, pool)), 4},
	} {
		if n := count(t, p, func() work { return of.call }); n != of.want {
			t.Errorf("%s: %d round trips, want %d", name, n, of.want)
		}
	}
}

func TestRoundTrips_Page(t *testing.T) {
	for _, w := range wiredStores {
		if missing := w.database.missing(); missing != "" {
			testkit.Missing(t, missing)
		}
	}
	var table bytes.Buffer
	defer func(before io.Writer) { out = before }(out)
	out = &table
	tripTable(t)
	text, err := os.ReadFile("../" + page)
	must(t, err)
	if !bytes.Contains(text, table.Bytes()) {
		t.Errorf("docs/performance.md does not have this table; make bench BENCHFLAGS=-write writes it:\n%s", &table)
	}
}
