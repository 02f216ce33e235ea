package queries

import (
	"context"
	"database/sql"

	"github.com/flowhook/flowhook/store/sqlstore"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func openGORM(db *sql.DB) (*gorm.DB, error) {
	return gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{})
}

type gormUser struct {
	ID    string `gorm:"primaryKey"`
	Email string
}

func (gormUser) TableName() string { return "users" }

type gormUsers struct{ db *gorm.DB }

func (u gormUsers) Insert(ctx context.Context, id, email string) error {
	db, ok := u.within(ctx)
	if !ok {
		return errNoTransaction
	}
	return db.Create(&gormUser{ID: id, Email: email}).Error
}

// within returns a session in the transaction that ctx carries.
func (u gormUsers) within(ctx context.Context) (db *gorm.DB, ok bool) {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return nil, false
	}
	db = u.db.Session(&gorm.Session{NewDB: true, Context: sqlstore.TxContext(ctx)})
	db.Statement.ConnPool = tx
	return db, true
}
