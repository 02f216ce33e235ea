package flowhook

import (
	"log/slog"
	"net/http"
	"time"
)

type fieldError struct {
	key string
	err error
}

func (e *fieldError) Error() string { return "" }

type added struct {
	p    Point
	name string
	h    Hook
}
type Config struct{ added []added }

func (c *Config) Add(p Point, name string, h Hook) { c.added = append(c.added, added{p, name, h}) }

func New(cfg *Config, o Options) (*Pipeline, error) {
	p := &Pipeline{chains: map[Point]*chain{}, store: o.Store, log: o.Logger, now: time.Now, sessions: &Sessions{}}
	p.onError = func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, "no", 500) }
	if p.log == nil {
		p.log = slog.Default()
	}
	for _, f := range append([]Flow{Login, Registration, Settings, Verification, Recovery, Logout}, o.Flows...) {
		for _, ph := range []Phase{Before, BeforePersist, After, Failed} {
			wide := &chain{}
			wide.wide = wide
			for _, a := range cfg.added {
				if a.p == (Point{f, ph, FlowWide}) {
					wide.hooks = append(wide.hooks, hook{Hook: a.h, name: a.name})
					wide.writes = true
				}
			}
			p.chains[Point{f, ph, ""}] = wide
			for _, s := range append([]Strategy{Password, OIDC, Profile, Link}, o.Strategies...) {
				c := &chain{wide: wide}
				for _, a := range cfg.added {
					if a.p == (Point{f, ph, s}) {
						c.hooks = append(c.hooks, hook{Hook: a.h, name: a.name})
						c.own++
						c.writes = true
					}
				}
				c.hooks = append(c.hooks, wide.hooks...)
				c.writes = c.writes || wide.writes
				if ph == Before {
					c = wide
				}
				p.chains[Point{f, ph, s}] = c
			}
		}
	}
	p.link()
	return p, nil
}
func (p *Pipeline) Sessions() *Sessions { return p.sessions }
