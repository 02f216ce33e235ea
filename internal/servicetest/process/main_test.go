// Package process_test tests examples/authservice as it is deployed: as several processes on one
// database, reached over HTTP, sending email over SMTP. Under load, it kills and stops the
// processes and stops the database, and then checks what is left.
//
// Random choices are seeded, and the seed is logged. FLOWHOOK_SEED sets the seed, which repeats the
// choices but not the timing.
package process_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// secret signs the sessions of all copies.
const secret = "a-secret-for-tests-0123456789abcdef"

// folder is the service's folder.
const folder = "../../../examples/authservice"

// publicURL is where emails link to. The tests send the token in a link to one of the copies.
const publicURL = "http://127.0.0.1:8080"

// workspace is the directory with the binary.
var workspace string

func TestMain(m *testing.M) {
	var err error
	if workspace, err = os.MkdirTemp("", "authservice-process-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(workspace)
	os.Exit(code)
}

// binary builds the service once.
var binary = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(workspace, "authservice")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	args := []string{"build", "-C", folder, "-o", path}
	if underRace {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the service: %w\n%s", err, out)
	}
	return path, nil
})

// times returns how often a test repeats something. Under the race detector, which is slow, it
// returns few, because each round can show a race.
func times(t testing.TB, full, few int) int {
	if underRace {
		return few
	}
	return max(few, testkit.Times(t, full))
}

// newSeed returns FLOWHOOK_SEED or a random seed. It logs the seed at once, in case the test does
// not finish.
func newSeed(t testing.TB) uint64 {
	seed := rand.Uint64()
	if v := os.Getenv("FLOWHOOK_SEED"); v != "" {
		var err error
		seed, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err, "FLOWHOOK_SEED")
	}
	t.Logf("seed %d", seed)
	return seed
}

// pause waits for d or until ctx ends. Tests use it only to do something at a random moment.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// between returns a random duration.
func between(chance *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(chance.Int64N(int64(most-least)+1))
}

// eventually waits until holds returns true.
func eventually(t testing.TB, patience time.Duration, holds func() bool, what string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf("still after %s: %s", patience, fmt.Sprintf(what, args...)))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
