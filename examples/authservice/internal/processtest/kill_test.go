package processtest_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
)

// TestKilled ends processes at random moments, with people using them, as a power cut would. What people were told is done;
// what they were not told is done whole, or not at all.
func TestKilled(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL, two copies", func(t *testing.T) {
		t.Parallel()
		killed(t, testkit.PostgreSQL(t), 2)
	})
	t.Run("SQLite, one copy", func(t *testing.T) {
		t.Parallel()
		killed(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), 1)
	})
}

func killed(t *testing.T, database string, copies int) {
	kills, seed := times(t, 200, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	box := newMailbox(t, seed)
	l := &load{public: newPublic(t), d: deploy(t, database, box.url, copies), mail: box}
	l.mayBreak = true
	l.d.start()
	l.start(6, seed)
	l.under()

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
		if done < kills && chance.IntN(8) == 0 { // while it starts, too: it may be migrating, or hold the lock
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
	mails, again := box.count()
	t.Logf("killed %d times (%d while starting, %d times both copies at once): %s; %d requests without an answer; %d refused links; %d mails, %d of them twice; nothing is half done, no mail lost, no link of use twice (seed %d)",
		done, starting, together, &l.told, l.unknown.Load(), l.told.refused.Load(), mails, again, seed)
}
