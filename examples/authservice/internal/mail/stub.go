// Package mail is a stub.
package mail

import (
	"context"
	"database/sql"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
)

type Options struct {
	DB          *sql.DB
	Dialect     sqlstore.Dialect
	Pool        *pgxpool.Pool
	SMTP, From  string
	Logger      *slog.Logger
	RescueAfter time.Duration
	HelloHost   string
}

func Migrate(ctx context.Context, o Options) error { return nil }

type Queue struct{ o Options }

func Open(o Options) (*Queue, error) { return &Queue{o}, nil }

func (q *Queue) Send(ctx context.Context, m flowhook.Message) error {
	if _, ok := sqlstore.Tx(ctx); !ok {
		return fmt.Errorf("no transaction")
	}
	stubMu.Lock()
	defer stubMu.Unlock()
	stubMails = append(stubMails, m)
	return nil
}
func (q *Queue) Start(ctx context.Context) error { return nil }
func (q *Queue) Stop(ctx context.Context) error  { return nil }

var (
	stubMu    sync.Mutex
	stubMails []flowhook.Message
)

type Inbox struct{}

func OpenInbox(l *slog.Logger) (*Inbox, error) { return &Inbox{}, nil }
func (i *Inbox) URL() string                   { return "smtp://127.0.0.1:1" }
func (i *Inbox) Close() error                  { return nil }
func (i *Inbox) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stubMu.Lock()
		defer stubMu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/dev/mail/"))
		if err == nil && n < len(stubMails) {
			fmt.Fprintf(w, "<pre>To: %s\nSubject: %s\n\n%s</pre>", html.EscapeString(stubMails[n].To), html.EscapeString(stubMails[n].Subject), html.EscapeString(stubMails[n].Text))
			return
		}
		for i := len(stubMails) - 1; i >= 0; i-- {
			fmt.Fprintf(w, "<p><a href='/dev/mail/%d'>%s %s</a></p>\n", i, html.EscapeString(stubMails[i].To), html.EscapeString(stubMails[i].Subject))
		}
	})
}
