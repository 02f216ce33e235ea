package sqltest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/pgxstore"
)

// A pgxPool is the pool of a pgxstore.
type pgxPool struct {
	pool     *pgxpool.Pool
	database database
}

func openPgx(t testing.TB, s system, source string, connections int) pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(source)
	require.NoError(t, err)
	config.MaxConns = int32(connections)
	p, err := pgxpool.NewWithConfig(testContext(t), config)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return pgxPool{p, s.database}
}

func (p pgxPool) store(t testing.TB, answerTimeout time.Duration) store {
	t.Helper()
	s, err := pgxstore.NewWithOptions(p.pool, pgxstore.Options{AnswerTimeout: answerTimeout})
	require.NoError(t, err)
	return s
}

func (p pgxPool) exec(ctx context.Context, query string, args ...any) error {
	tx, ok := pgxstore.Tx(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	_, err := tx.Exec(ctx, p.database.bind(query), args...)
	return err
}

func (p pgxPool) connections() (inUse, total int) {
	s := p.pool.Stat()
	return int(s.AcquiredConns()), int(s.TotalConns())
}

func (p pgxPool) close() { p.pool.Close() }
