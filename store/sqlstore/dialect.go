package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/flowhook/flowhook/store/internal/relational"
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
	syntax     relational.Syntax

	// check returns an error if the store cannot work on the connections of the pool. It runs
	// before the first statement. Nil accepts all.
	check func(ctx context.Context, db *sql.DB) error

	// How a transaction begins.
	oneWriter bool // transactions run one by one, with statements that are prepared once
	isolation sql.IsolationLevel

	// begin runs once a transaction is open. It makes the transaction hold the lock of the identity,
	// unless identityID is empty.
	begin func(ctx context.Context, t *tx, identityID string) error

	// lock makes transactions of one identity wait for each other, until tx ends. rowLock is the
	// same with Options.RowLocks; nil if the dialect has only one way.
	lock, rowLock func(ctx context.Context, tx *sql.Tx, identityID string) error

	// What guards a transaction against the host's own statements. The store runs lent when the
	// host asks for the transaction. From then on it calls intact before each write and runs sealed
	// before the commit. Both fail if the database has ended the transaction after an error that
	// the host ignored.
	lent   string
	intact func(ctx context.Context, tx *sql.Tx) error
	sealed string

	// How a transaction ends.
	commit            string
	restore           string // undoes what begin did to the connection; commit does so itself
	finishByStatement bool   // the driver's Commit and Rollback take no context
	strictRollback    bool   // ROLLBACK fails if no transaction is open

	// failure returns what an error of this database's drivers means, or Unknown if err is not one.
	// It does not look at the errors that err wraps.
	failure func(err error) relational.Failure
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
