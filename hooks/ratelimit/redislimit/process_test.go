package redislimit_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/hooks/ratelimit/redislimit"
	"github.com/flowhook/flowhook/internal/testkit"
)

const attempts = 10_000

// account is the bucket that both processes use.
var account = []ratelimit.Bucket{{Key: "account", Tries: 50, Every: time.Hour},
	{Key: "plenty", Tries: attempts, Every: 100 * time.Millisecond}}

// work makes half of the attempts, in parallel, and prints how many have passed.
func work() {
	o, err := redis.ParseURL(os.Getenv("FLOWHOOK_REDIS"))
	if err != nil {
		log.Fatal(err)
	}
	o.ContextTimeoutEnabled, o.PoolTimeout = true, time.Minute
	l, err := redislimit.New(redislimit.Options{Client: redis.NewClient(o), Prefix: os.Getenv("REDISLIMIT_PREFIX")})
	if err != nil {
		log.Fatal(err)
	}
	var passed atomic.Int64
	var all sync.WaitGroup
	for range attempts / 2 {
		all.Go(func() {
			wait, _, err := l.Take(context.Background(), account)
			if err != nil {
				log.Fatal(err)
			}
			if wait == 0 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Print(passed.Load())
}

// Of 10,000 parallel attempts on one account, by two processes, exactly as many pass as it has.
func TestLimiter_TwoProcesses(t *testing.T) {
	client, prefix := connect(t, options(t))
	var outputs [2]string
	var all sync.WaitGroup
	for i := range outputs {
		all.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "REDISLIMIT_PREFIX="+prefix,
				"FLOWHOOK_REDIS="+testkit.Env(t, "FLOWHOOK_REDIS"))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Error(err)
			}
			outputs[i] = string(out)
		})
	}
	all.Wait()
	sum := 0
	for _, out := range outputs {
		n, err := strconv.Atoi(out)
		require.NoError(t, err, out)
		sum += n
	}
	t.Logf("%s and %s of %d attempts passed", outputs[0], outputs[1], attempts)
	require.Equal(t, 50, sum)
	wait, _, err := limiterOf(t, client, prefix).Take(t.Context(), account)
	require.NoError(t, err)
	require.NotZero(t, wait)
}
