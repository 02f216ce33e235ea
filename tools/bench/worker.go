package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
)

// workers is how many sign-ins a service process runs at the same time.
const workers = 8

// The environment of a service process.
const (
	workerSource   = "BENCH_SOURCE"
	workerIdentity = "BENCH_IDENTITY"
	workerTime     = "BENCH_TIME"
)

// ready is what a service process writes when it has warmed up. It then waits for a line, signs
// users in, and writes how often.
const ready = "ready"

// serveSignIns is a service process.
func serveSignIns(t testing.TB, source string) {
	each, err := time.ParseDuration(os.Getenv(workerTime))
	must(t, err)
	p := loginPipeline(t, poolStore(t, openPool(t, source)))
	signIns(t, p, os.Getenv(workerIdentity), each/4)
	fmt.Println(ready)
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must(t, err)
	fmt.Println(signIns(t, p, os.Getenv(workerIdentity), each))
}

// manyIdentities is how many identities sign in, unless it is only one. It is so many that they
// seldom wait for each other, and so few that most have a session to end.
const manyIdentities = 5000

// signIns signs users in for a time and returns how often. If identity is empty, each is one of
// many.
func signIns(t testing.TB, p *flowhook.Pipeline, identity string, each time.Duration) int64 {
	var n atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(each)
	for range workers {
		all.Go(func() {
			for time.Now().Before(end) {
				x := exchange()
				if x.Identity.ID = identity; identity == "" {
					x.Identity.ID = strconv.Itoa(rand.IntN(manyIdentities))
				}
				_, err := p.Complete(flowhook.NewContext(context.Background(), x), flowhook.Login, flowhook.Password, nil)
				must(t, err)
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load()
}
