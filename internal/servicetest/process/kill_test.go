package process_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
)

// TestKill kills processes at random moments under load. What was confirmed is saved; what was not
// answered is saved completely or not at all.
func TestKill(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL, two copies", func(t *testing.T) {
		t.Parallel()
		testKill(t, testkit.PostgreSQL(t), 2)
	})
	t.Run("SQLite, one copy", func(t *testing.T) {
		t.Parallel()
		testKill(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), 1)
	})
}

func testKill(t *testing.T, database string, copies int) {
	kills, seed := times(t, 200, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	box := newMailbox(t, seed)
	l := &load{checkedClient: newCheckedClient(t), d: deploy(t, database, box.url, copies), mail: box}
	l.mayBreak = true
	l.d.start()
	l.start(6, seed)
	l.warmUp()

	starting, together := 0, 0
	done := 0
	for done < kills {
		pause(t.Context(), between(chance, 20*time.Millisecond, 600*time.Millisecond))
		r := l.d.copies[chance.IntN(copies)]
		if copies > 1 && chance.IntN(8) == 0 {
			together++
			for _, other := range l.d.copies {
				other.kill()
				done++
			}
			l.d.start()
			continue
		}
		r.kill()
		done++
		if done < kills && chance.IntN(8) == 0 { // kill it again while it starts; it may be migrating or hold the lock
			starting++
			r.begin()
			pause(t.Context(), between(chance, time.Millisecond, 80*time.Millisecond))
			r.kill()
			done++
		}
		r.start()
	}
	db := l.openDatabase(database)
	l.settle(db, seed)
	emails, duplicates := box.count()
	t.Logf("killed %d times (%d while starting, %d times both copies at once): %s; %d requests without an answer; %d "+
		"refused links; %d emails, %d of them twice; no partial changes, no email lost, no link worked twice (seed %d)",
		done, starting, together, &l.told, l.unknown.Load(), l.told.refused.Load(), emails, duplicates, seed)
}
