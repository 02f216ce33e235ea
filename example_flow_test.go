package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// newPipeline makes a pipeline for the examples.
func newPipeline(text string, opts flowhook.Options) *flowhook.Pipeline {
	cfg, err := flowhook.ParseConfig([]byte(text))
	if err != nil {
		log.Fatal(err)
	}
	opts.Store = memstore.New()
	if len(opts.Secrets) == 0 {
		opts.Secrets = []string{"only-for-these-examples-0123"}
	}
	pipeline, err := flowhook.New(cfg, opts)
	if err != nil {
		log.Fatal(err)
	}
	return pipeline
}

// newExchange makes what Middleware makes: an exchange in the context of a request.
func newExchange(x *flowhook.Exchange) (context.Context, *httptest.ResponseRecorder) {
	w := httptest.NewRecorder()
	x.Writer, x.Request = w, httptest.NewRequest(http.MethodPost, "/", nil)
	return flowhook.NewContext(context.Background(), x), w
}

func ExamplePipeline_Run() {
	pipeline := newPipeline(`
selfservice:
  login:
    after:
      - hook: redirect
        config:
          to: /news
`, flowhook.Options{})

	ctx, w := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}})
	handled, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	switch {
	case handled: // answered; write nothing more
		fmt.Println(w.Code, w.Header().Get("Location"))
	case err != nil:
		fmt.Println("sorry:", err)
	default:
		fmt.Println("welcome")
	}
	// Output: 302 /news
}

// After a wrong password, run the hooks at Failed. They see whose password it was.
func ExamplePipeline_Run_wrongPassword() {
	var cfg flowhook.Config
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Failed}, "audit", flowhook.HookFunc(
		func(_ context.Context, x *flowhook.Exchange) error {
			account := "unknown"
			if x.Identity != nil {
				account = x.Identity.ID
			}
			fmt.Println("audit:", account, x.Err)
			return nil
		}))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{})
	if err != nil {
		log.Fatal(err)
	}

	wrongPassword := func(w http.ResponseWriter, r *http.Request, id string) {
		x := flowhook.MustFromContext(r.Context())
		if id != "" {
			x.Identity = &flowhook.Identity{ID: id}
		}
		x.Err = errors.New("wrong password")
		handled, err := pipeline.Run(r.Context(), flowhook.Login, flowhook.Failed, flowhook.Password)
		if err != nil {
			log.Print(err) // the user reads the same answer
		}
		if !handled {
			http.Error(w, "the address or the password is wrong", http.StatusUnauthorized)
		}
	}
	for _, id := range []string{"alice", ""} {
		x := &flowhook.Exchange{}
		ctx, w := newExchange(x)
		wrongPassword(w, x.Request.WithContext(ctx), id)
		fmt.Println(w.Code)
	}
	// Output:
	// audit: alice wrong password
	// 401
	// audit: unknown wrong password
	// 401
}

func ExamplePipeline_Complete() {
	pipeline := newPipeline(`
selfservice:
  registration:
    after:
      password:
        - hook: session
`, flowhook.Options{})

	users := map[string]bool{}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	ctx, w := newExchange(x)
	handled, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		users["alice"] = true // in a database, with ctx
		return nil
	})
	fmt.Println(handled, err, users)
	fmt.Println(w.Result().Cookies()[0].Name, "of", x.Session.IdentityID)
	// Output:
	// false <nil> map[alice:true]
	// __Host-session of alice
}

// If a hook fails, the client gets nothing from the hooks before it, and the store is rolled back.
func ExamplePipeline_Complete_rollback() {
	pipeline := newPipeline(`
selfservice:
  registration:
    after:
      password:
        - hook: session
        - hook: crm
`, flowhook.Options{Hooks: map[string]flowhook.HookFactory{
		"crm": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
				return errors.New("no connection")
			}), nil
		},
	}})

	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	ctx, w := newExchange(x)
	handled, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, nil)
	fmt.Println(handled, err)
	fmt.Println(len(w.Result().Cookies()), "cookies, session", x.Session)

	var failed *flowhook.HookError
	fmt.Println(errors.As(err, &failed), failed.Name, "in line", failed.Position.Line)
	// Output:
	// false flowhook: registration/after/password: hook crm (7:17): no connection
	// 0 cookies, session <nil>
	// true crm in line 7
}

func ExamplePipeline_Middleware() {
	pipeline := newPipeline(`
selfservice:
  registration:
    before:
      - hook: redirect
        config:
          to: /closed
`, flowhook.Options{})

	mux := http.NewServeMux()
	mux.Handle("/registration", pipeline.Middleware(flowhook.Registration)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fmt.Println("not reached") })))
	mux.Handle("/login", pipeline.Middleware(flowhook.Login)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			x := flowhook.MustFromContext(r.Context())
			fmt.Println("in the handler:", x.Request.URL.Path)
		})))

	for _, path := range []string{"/registration", "/login"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		fmt.Println(path, w.Code, w.Header().Get("Location"))
	}
	// Output:
	// /registration 302 /closed
	// in the handler: /login
	// /login 200
}

// A printer is a courier that prints.
type printer struct{ link chan string }

func (p printer) Send(_ context.Context, m flowhook.Message) error {
	fmt.Printf("mail to %s: %s\n", m.To, m.Subject)
	p.link <- m.Link
	return nil
}

func ExamplePipeline_Redeem() {
	mails := printer{make(chan string, 1)}
	pipeline := newPipeline(`
selfservice:
  registration:
    after:
      password:
        - hook: verify
`, flowhook.Options{Courier: mails, VerificationURL: "https://www.example.org/verification"})

	address := flowhook.Address{Via: "email", Value: "alice@example.org"}
	ctx, _ := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice",
		Addresses: []flowhook.Address{address}}})
	if _, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, nil); err != nil {
		log.Fatal(err)
	}

	link, _ := url.Parse(<-mails.link) // the handler has it from the form
	token := link.Query().Get("token")
	for range 2 {
		err := pipeline.Redeem(context.Background(), token,
			func(ctx context.Context, t flowhook.Token) error {
				if t.Address.Value != address.Value { // read it with ctx, by t.IdentityID
					return flowhook.ErrBadToken
				}
				address.Verified = true // save it with ctx
				return nil
			})
		fmt.Println(address.Verified, err)
	}
	// Output:
	// mail to alice@example.org: Please confirm your address
	// true <nil>
	// true flowhook: the token was already used
}

func ExampleSessions_FromRequest() {
	sessions := newPipeline("", flowhook.Options{}).Sessions()
	show := func(r *http.Request) {
		session, err := sessions.FromRequest(r)
		switch {
		case errors.Is(err, flowhook.ErrNoSession):
			fmt.Println("nobody is signed in")
		case err != nil:
			fmt.Println("the store is in trouble:", err)
		default:
			fmt.Println(session.IdentityID)
		}
	}

	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	ctx, w := newExchange(x)
	if err := sessions.Issue(ctx, x); err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.AddCookie(w.Result().Cookies()[0])
	show(r)

	ctx, _ = newExchange(x)
	if err := sessions.End(ctx, x); err != nil {
		log.Fatal(err)
	}
	show(r) // the cookie is as it was, the session is dead
	// Output:
	// alice
	// nobody is signed in
}

// At login, issue the session in save.
func ExampleSessions_Issue() {
	pipeline := newPipeline(`
selfservice:
  login:
    after:
      - hook: revoke_active_sessions
`, flowhook.Options{})

	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	ctx, w := newExchange(x)
	handled, err := pipeline.Complete(ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		return pipeline.Sessions().Issue(ctx, x)
	})
	c := w.Result().Cookies()[0]
	fmt.Println(handled, err, c.Name, c.HttpOnly, c.Secure, c.SameSite == http.SameSiteLaxMode)
	// Output: false <nil> __Host-session true true true
}

// An app sends the token itself, as a bearer token.
func ExampleSessions_Create() {
	sessions := newPipeline("", flowhook.Options{}).Sessions()
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	ctx, w := newExchange(x)
	token, err := sessions.Create(ctx, x)
	fmt.Println(err, len(w.Result().Cookies()), "cookies")

	session, err := sessions.FromToken(context.Background(), token)
	fmt.Println(session.IdentityID, err)
	_, err = sessions.FromToken(context.Background(), "A"+token[1:])
	fmt.Println(err)
	// Output:
	// <nil> 0 cookies
	// alice <nil>
	// flowhook: no session
}

// FromToken reads a bearer token.
func ExampleSessions_FromToken() {
	sessions := newPipeline("", flowhook.Options{}).Sessions()
	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.Header.Set("Authorization", "Bearer forged")

	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := sessions.FromToken(r.Context(), token)
	fmt.Println(errors.Is(err, flowhook.ErrNoSession))
	// Output: true
}

func ExampleSessions_End() {
	pipeline := newPipeline("", flowhook.Options{})
	x := &flowhook.Exchange{}
	ctx, w := newExchange(x)
	_, err := pipeline.Complete(ctx, flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		return pipeline.Sessions().End(ctx, x)
	})
	c := w.Result().Cookies()[0]
	fmt.Printf("%v %s=%q %d\n", err, c.Name, c.Value, c.MaxAge)
	// Output: <nil> __Host-session="" -1
}

func ExampleExchange_AfterCommit() {
	var cfg flowhook.Config
	at := flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}
	cfg.Add(at, "welcome", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		id := x.Identity.ID
		x.AfterCommit(func(context.Context) error {
			fmt.Println("a letter goes to", id)
			return nil
		})
		return nil
	}))
	cfg.Add(at, "picky", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		if x.Identity.ID == "mallory" {
			return errors.New("not this one")
		}
		return nil
	}))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Store: memstore.New()})
	if err != nil {
		log.Fatal(err)
	}

	for _, id := range []string{"alice", "mallory"} {
		ctx, _ := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{ID: id}})
		_, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.OIDC, nil)
		fmt.Println(id, err != nil)
	}
	// Output:
	// a letter goes to alice
	// alice false
	// mallory true
}

// Without Middleware, make the exchange yourself.
func ExampleNewContext() {
	pipeline := newPipeline("", flowhook.Options{})
	login := func(w http.ResponseWriter, r *http.Request) {
		x := &flowhook.Exchange{Writer: w, Request: r}
		ctx := flowhook.NewContext(r.Context(), x)
		handled, err := pipeline.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		if handled || err != nil {
			return
		}
		x.Identity = &flowhook.Identity{ID: "alice"} // who has given the password
		handled, err = pipeline.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		fmt.Println(handled, err)
	}
	login(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
	// Output: false <nil>
}

// An import has no request. Use a strategy of its own, so that hooks that need a request do not
// run.
func ExampleNewContext_withoutRequest() {
	mails := printer{make(chan string, 1)}
	pipeline := newPipeline(`
selfservice:
  flows:
    registration:
      after:
        hooks:
          - hook: verify
        password:
          hooks:
            - hook: session
`, flowhook.Options{
		Courier: mails, VerificationURL: "https://www.example.org/verification",
		Strategies: []flowhook.Strategy{"import"},
	})

	address := flowhook.Address{Via: "email", Value: "alice@example.org"}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{address}}}
	ctx := flowhook.NewContext(context.Background(), x)
	_, err := pipeline.Complete(ctx, flowhook.Registration, "import", func(ctx context.Context) error {
		fmt.Println("saving", x.Identity.ID) // in a database, with ctx
		return nil
	})
	fmt.Println(err, x.Session)
	// Output:
	// saving alice
	// mail to alice@example.org: Please confirm your address
	// <nil> <nil>
}

func ExampleFromContext() {
	_, ok := flowhook.FromContext(context.Background())
	fmt.Println(ok)
	x, ok := flowhook.FromContext(flowhook.NewContext(context.Background(), &flowhook.Exchange{}))
	fmt.Println(ok, x.Point())
	// Output:
	// false
	// true /
}

// A handler in Middleware needs its exchange.
func ExampleMustFromContext() {
	pipeline := newPipeline("", flowhook.Options{})
	login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: "alice"}
		fmt.Println("hello,", x.Identity.ID)
	})
	serve := func(h http.Handler) {
		defer func() {
			if v := recover(); v != nil {
				fmt.Println(v)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
	}
	serve(pipeline.Middleware(flowhook.Login)(login))
	serve(login)
	// Output:
	// hello, alice
	// flowhook: no exchange in the context; wrap the route in Middleware
}

func ExampleRefuse() {
	var cfg flowhook.Config
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.BeforePersist}, "closed_on_sundays", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error {
			return flowhook.Refuse(http.StatusForbidden, "closed", "We are closed on Sundays.")
		}))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	login := pipeline.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		if err != nil {
			pipeline.AnswerError(w, r, err)
		}
	}))
	for _, accept := range []string{"text/html", "application/json"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil)
		r.Header.Set("Accept", accept)
		login.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
		fmt.Println(strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 403 text/plain; charset=utf-8
	// We are closed on Sundays.
	// 403 application/problem+json
	// {"title":"Forbidden","status":403,"detail":"We are closed on Sundays.","code":"closed"}
}

func ExamplePipeline_SendRecovery() {
	mails := printer{make(chan string, 1)}
	pipeline := newPipeline(`
selfservice:
  flows:
    recovery:
      ui_url: https://www.example.org/recovery
`, flowhook.Options{Courier: mails})

	address := flowhook.Address{Via: "email", Value: "alice@example.org", Verified: true}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{address}}}
	if err := pipeline.SendRecovery(context.Background(), x); err != nil {
		log.Fatal(err)
	}
	link, _ := url.Parse(<-mails.link) // the handler has the token from the form
	err := pipeline.RedeemRecovery(context.Background(), link.Query().Get("token"),
		func(ctx context.Context, t flowhook.Token) error {
			fmt.Println("new password for", t.IdentityID) // save it with ctx
			return nil
		})
	fmt.Println(err)
	// Output:
	// mail to alice@example.org: Reset your password
	// new password for alice
	// <nil>
}

// A code is compared by RedeemCode. The page knows whom it was sent to.
func ExamplePipeline_RedeemCode() {
	codes := make(chan string, 1)
	pipeline := newPipeline(`
selfservice: {flows: {recovery: {use: code}}}
`, flowhook.Options{Courier: courierFunc(func(_ context.Context, m flowhook.Message) error {
		codes <- m.Code
		return nil
	})})
	address := flowhook.Address{Via: "email", Value: "alice@example.org", Verified: true}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{address}}}
	if err := pipeline.SendRecovery(context.Background(), x); err != nil {
		log.Fatal(err)
	}
	code := <-codes
	for range 2 {
		err := pipeline.RedeemCode(context.Background(), flowhook.PurposeRecovery, "alice", address, code,
			func(ctx context.Context, t flowhook.Token) error { return nil }) // save the new password with ctx
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// flowhook: the token was already used
}

type courierFunc func(ctx context.Context, m flowhook.Message) error

func (f courierFunc) Send(ctx context.Context, m flowhook.Message) error { return f(ctx, m) }
