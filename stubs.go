package flowhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

type redirect struct {
	to  string
	err error
}

func (r *redirect) Run(ctx context.Context, x *Exchange) error { return nil }

func newRedirect(decode func(v any) error) (Hook, error) {
	var c struct {
		To     string `yaml:"to"`
		Old    string `yaml:"default_redirect_url"`
		Return bool   `yaml:"allow_user_defined_redirect"`
	}
	if err := decode(&c); err != nil {
		return nil, err
	}
	if err := checkTarget(c.To); err != nil {
		return nil, errors.Join(&fieldError{key: "to", err: err})
	}
	return &redirect{to: c.To}, nil
}

func Redirect(to string) Hook { return &redirect{to, checkTarget(to)} }

func checkTarget(to string) error {
	u, err := url.Parse(to)
	if err != nil || to == "" || (u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("not a redirect target")
	}
	return nil
}

type cookieSettings struct {
	Name, Domain, Path string
	SameSite           http.SameSite
	Persistent, Secure bool
}

func newSessions(store SessionStore, secrets []string, lifespan time.Duration, c cookieSettings, now func() time.Time) (*Sessions, error) {
	return &Sessions{}, nil
}

func (s *Sessions) Issue(ctx context.Context, x *Exchange) error { return nil }

func newSession(issue func(ctx context.Context, x *Exchange) error) Hook { return HookFunc(issue) }

func newRevoke(s SessionRevoker) Hook {
	return HookFunc(func(ctx context.Context, x *Exchange) error { return nil })
}

type verifier struct {
	store   VerificationStore
	courier Courier
	outbox  bool
	url     string
	now     func() time.Time
	log     *slog.Logger
}

func newVerify(decode func(v any) error, v verifier) (Hook, error) {
	var c struct {
		Lifespan time.Duration `yaml:"lifespan"`
		Interval time.Duration `yaml:"interval"`
	}
	if err := decode(&c); err != nil {
		return nil, err
	}
	if c.Lifespan < 0 {
		return nil, &fieldError{"lifespan", errors.New("too short")}
	}
	return HookFunc(func(ctx context.Context, x *Exchange) error { return nil }), nil
}
