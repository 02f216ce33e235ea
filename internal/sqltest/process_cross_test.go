package sqltest

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/testkit"
)

// A crossing is a transaction that holds one identity and waits for a second one.
type crossing struct {
	lines *bufio.Reader
	close func()
}

// cross starts a crossing in the process.
func (p *process) cross(t *testing.T, ctx context.Context, first, second string) *crossing {
	form := url.Values{"process": {p.name}, "first": {first}, "second": {second}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/cross?"+form.Encode(), nil)
	require.NoError(t, err)
	c := &crossing{}
	ready := make(chan struct{})
	body, write := io.Pipe()
	go func() { // the answer begins when the first identity is held
		defer close(ready)
		res, err := p.client.Do(r)
		if err != nil {
			write.CloseWithError(err)
			return
		}
		go func() {
			defer res.Body.Close()
			_, err := io.Copy(write, res.Body)
			write.CloseWithError(err)
		}()
	}()
	c.lines = bufio.NewReader(body)
	c.close = func() { body.Close(); <-ready }
	return c
}

func (c *crossing) line(t *testing.T) string {
	t.Helper()
	line, err := c.lines.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// Process A locks identity 1, then 2. Process B locks them in the opposite order.
func TestProcesses_Cross(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		db, both := of.two(t)
		rounds, conflicts := testkit.Times(t, 20), 0
		for round := range rounds {
			_, err := db.Exec("DELETE FROM crossings")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a request that took longer would be stuck
			c := [2]*crossing{both[0].cross(t, ctx, "1", "2"), both[1].cross(t, ctx, "2", "1")}
			var is [2]string
			resume := func(i int) {
				a := both[i].do(http.MethodPost, "/go", "", nil)
				require.Equal(t, http.StatusNoContent, a.status)
			}
			if of.database.oneWriter { // one holds both identities before the other begins
				is = crossInTurn(t, c, resume)
			} else {
				for i := range c {
					require.Equal(t, "holding", c[i].line(t))
				}
				resume(0)
				resume(1)
				is = [2]string{c[0].line(t), c[1].line(t)}
			}
			c[0].close()
			c[1].close()
			cancel()

			done := 0
			for i, how := range is {
				rows := count(t, db, "SELECT count(*) FROM crossings WHERE process = '"+both[i].name+"'")
				switch how {
				case "done":
					done++
					require.Equal(t, 2, rows, "round %d: the transaction of %s is incomplete", round, both[i].name)
				case "conflict":
					conflicts++
					require.Zero(t, rows, "round %d: the transaction of %s left a row", round, both[i].name)
				default:
					t.Fatalf("round %d: %s: %s", round, both[i].name, how)
				}
			}
			if of.database.oneWriter {
				require.Equal(t, 2, done, "round %d", round)
			} else {
				require.Equal(t, 1, done, "round %d: one conflict lets the other finish: %v", round, is)
			}
		}
		t.Logf("two processes with %s: %d times two transactions that join each other's identities: "+
			"%d conflicts, the rest done, none incomplete, none stuck", of.name, rounds, conflicts)
	})
}

// crossInTurn resumes the crossing that holds an identity, and then the other.
func crossInTurn(t *testing.T, c [2]*crossing, resume func(i int)) (is [2]string) {
	type held struct {
		i    int
		line string
		err  error
	}
	holding := make(chan held, 2)
	for i := range c {
		go func() {
			line, err := c[i].lines.ReadString('\n')
			holding <- held{i, strings.TrimSpace(line), err}
		}()
	}
	for range c {
		h := <-holding
		require.NoError(t, h.err)
		require.Equal(t, "holding", h.line)
		resume(h.i)
		is[h.i] = c[h.i].line(t)
	}
	return is
}
