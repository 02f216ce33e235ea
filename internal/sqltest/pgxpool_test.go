package sqltest

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook/store/pgxstore"
)

// A pgxPool is the pool of a pgxstore.
type pgxPool struct {
	pool     *pgxpool.Pool
	database database
}

func openPgx(s system, source string, connections int) (pool, error) {
	config, err := pgxpool.ParseConfig(source)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(connections)
	p, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	return pgxPool{p, s.database}, nil
}

func (p pgxPool) store(answerTimeout time.Duration) (store, error) {
	return pgxstore.NewWithOptions(p.pool, pgxstore.Options{AnswerTimeout: answerTimeout})
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
