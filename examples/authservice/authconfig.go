package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/store/memstore"
	"gopkg.in/yaml.v3"
)

// builtIn is the auth.yml of the folder in which the program was built.
//
//go:embed auth.yml
var builtIn []byte

// authConfigHere returns the path of the auth.yml in the working directory, or "" if there is none.
func authConfigHere() string {
	const path = "auth.yml"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// authConfigName names the auth.yml in use for the log.
func (c config) authConfigName() string {
	if c.AuthConfig == "" {
		return "built in"
	}
	return c.AuthConfig
}

// loadHooks reads auth.yml.
func (c config) loadHooks() (*flowhook.Config, error) {
	if c.AuthConfig == "" {
		return flowhook.ParseConfig(builtIn)
	}
	return flowhook.LoadConfig(c.AuthConfig)
}

// readAuthFile returns the text of the auth.yml at path, or of the one that is built in if path is
// empty.
func readAuthFile(path string) ([]byte, error) {
	if path == "" {
		return builtIn, nil
	}
	return os.ReadFile(path)
}

// hasSecrets reports whether the auth.yml at path contains secrets. If so, they sign the sessions,
// and a reload changes them. It returns false for a file that cannot be read; loadHooks reports the
// reason.
func hasSecrets(path string) bool {
	data, err := readAuthFile(path)
	var top struct {
		Secrets yaml.Node `yaml:"secrets"`
	}
	return err == nil && yaml.Unmarshal(data, &top) == nil && !top.Secrets.IsZero()
}

var errNoHooks = errors.New("has no hooks; start with a copy of the auth.yml of this program's source")

// checkHooks returns the errors of auth.yml or, if there are none, its plan. It opens nothing: a store
// in memory and a courier that sends nothing take the places of the service's. A file without hooks is
// an error, because no one wants a service without limits and verification.
func (c config) checkHooks() (*flowhook.Plan, error) {
	hooks, err := c.loadHooks()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault("AUTH_CONFIG", "does not name a file: "+err.Error())
	}
	if err != nil {
		return nil, authConfigErrors(err)
	}
	s := &service{config: c, log: slog.New(slog.DiscardHandler), now: time.Now, recorder: hookpage.NewRecorder()}
	if s.metrics, err = newMetrics(); err != nil {
		return nil, err
	}
	if s.limit, err = s.newRateLimit(); err != nil {
		return nil, err
	}
	opts := s.options()
	opts.Store, opts.Courier = memstore.New(), noCourier{}
	if len(opts.Secrets) == 0 && !c.SecretsInFile {
		opts.Secrets = []string{newSecret()} // the one next to the SQLite file may not exist yet
	}
	p, err := flowhook.New(hooks, opts)
	if err != nil {
		return nil, authConfigErrors(err)
	}
	for range p.Plan().Points() {
		return p.Plan(), nil
	}
	return nil, fmt.Errorf("AUTH_CONFIG: %s %w", c.authConfigName(), errNoHooks)
}

// missingHooks returns a warning for each hook that pl lacks but most services need.
func missingHooks(pl *flowhook.Plan) (warnings []string) {
	has := func(flow flowhook.Flow, name string, phases ...flowhook.Phase) bool {
		for p, hooks := range pl.Points() {
			if p.Flow == flow && slices.Contains(phases, p.Phase) &&
				slices.ContainsFunc(hooks, func(h flowhook.HookInfo) bool { return h.Name == name }) {
				return true
			}
		}
		return false
	}
	for _, flow := range []flowhook.Flow{flowhook.Login, flowhook.Recovery} {
		if !has(flow, "rate_limit", flowhook.Before) {
			warnings = append(warnings, "AUTH_CONFIG: "+string(flow)+" has no rate_limit at before: nothing limits attempts")
		}
	}
	if !has(flowhook.Registration, "verify", flowhook.BeforePersist, flowhook.After) {
		warnings = append(warnings, "AUTH_CONFIG: registration has no verify at after: nobody confirms an address")
	}
	return warnings
}

// authConfigErrors names the variable in each of the errors joined in err.
func authConfigErrors(err error) error {
	var errs []error
	for _, one := range split(err) {
		errs = append(errs, fmt.Errorf("AUTH_CONFIG: %w", one))
	}
	return errors.Join(errs...)
}

// noCourier is a courier that sends nothing.
type noCourier struct{}

func (noCourier) Send(context.Context, flowhook.Message) error { return nil }
