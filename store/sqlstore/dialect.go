package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/binary"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A Dialect is a kind of database. Its value is the name that github.com/pressly/goose uses.
type Dialect string

// dialects lists every dialect. To add one, write its file, add its row here, and put its
// migrations into a folder.
var dialects = []*dialect{
	&postgres,
	&mariadb,
	&sqlite,
}

// A dialect holds everything that the store knows about one kind of database.
type dialect struct {
	name       Dialect
	migrations string // the folder

	// How statements are written.
	numbered   bool                           // placeholders are $1 and $2, not ?
	forUpdate  string                         // locks the rows that a SELECT reads
	skipLocked string                         // the same, but skips rows that others have locked
	deleteSome func(table, key string) string // deletes at most ? rows that had expired at ?

	// countAttempt counts an attempt in flowhook_attempts and selects the new count. Its arguments
	// are the recipient, since and expires_at. If since is later than the row's, it counts from 1.
	countAttempt string

	// How a transaction begins.
	oneWriter bool // transactions run one by one, with statements that are prepared once
	isolation sql.IsolationLevel
	begun     string // the first statement; none if empty

	// lock makes transactions of one identity wait for each other, until tx ends.
	lock func(ctx context.Context, tx *sql.Tx, identityID string) error

	// What guards a transaction against the host's own statements. The store runs lent when the
	// host asks for the transaction. From then on it calls intact before each write and runs sealed
	// before the commit. Both fail if the database has ended the transaction after an error that
	// the host ignored. The store runs restore once the transaction has ended.
	lent    []string
	intact  func(ctx context.Context, tx *sql.Tx) error
	sealed  string
	restore string

	// How a transaction ends.
	finishByStatement bool // the driver's Commit and Rollback take no context
	strictRollback    bool // ROLLBACK fails if no transaction is open

	// failure returns what an error of this database's drivers means, or unknownFailure if err is
	// not one. It does not look at the errors that err wraps.
	failure func(err error) failure
}

//go:embed migrations
var migrations embed.FS

// Migrations returns the SQL files that create the tables, in the format of
// github.com/pressly/goose. Published files never change: a later change is another file.
// Migrations panics if the dialect is unknown.
func (d Dialect) Migrations() fs.FS {
	of, err := d.find()
	if err != nil {
		panic(err)
	}
	files, err := fs.Sub(migrations, of.migrations)
	if err != nil {
		panic(err) // the folder's name is invalid
	}
	return files
}

func (d Dialect) find() (*dialect, error) {
	var names []string
	for _, known := range dialects {
		if known.name == d {
			return known, nil
		}
		names = append(names, strconv.Quote(string(known.name)))
	}
	last := len(names) - 1
	return nil, fmt.Errorf("sqlstore: unknown dialect %q; there are %s and %s",
		d, strings.Join(names[:last], ", "), names[last])
}

// lockKey returns the number of an identity's lock. Two identities with the same number wait for
// each other, which is harmless.
func lockKey(identityID string) uint64 {
	sum := sha256.Sum256([]byte("flowhook:" + identityID))
	return binary.BigEndian.Uint64(sum[:8])
}
