// Package fill adds to the options what the hooks of a configuration need, to check a file without
// the service that it is for.
package fill

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/need"
	"github.com/flowhook/flowhook/store/memstore"
)

// Options adds to opts a store, a courier, a secret and a VerificationURL, as far as the hooks of
// cfg need them and neither opts nor the file have them. filled are the fields that it set.
func Options(cfg *flowhook.Config, opts flowhook.Options) (full flowhook.Options, filled []string) {
	probe := opts
	probe.Logger = slog.New(slog.DiscardHandler)
	p, err := flowhook.New(nil, probe)
	if err == nil {
		_, err = p.Preview(cfg) // New would tell the hooks that they have started
	} else { // the options have errors, so New fails, too
		_, err = flowhook.New(cfg, probe)
	}
	needs := func(what need.Need, option string, missing bool) bool {
		missing = missing && errors.Is(err, what)
		if missing {
			filled = append(filled, option)
		}
		return missing
	}
	if needs(need.Store, "Options.Store", opts.Store == nil) {
		opts.Store = memstore.New()
	}
	if needs(need.Courier, "Options.Courier", opts.Courier == nil) {
		opts.Courier = courier{}
	}
	if needs(need.Secrets, "Options.Secrets", len(opts.Secrets) == 0) {
		opts.Secrets = []string{Secret()}
	}
	if needs(need.Link, "Options.VerificationURL", opts.VerificationURL == "") {
		opts.VerificationURL = "https://auth.example/verify"
	}
	return opts, filled
}

// Check is cfg.Check with the options that [Options] returns. It leaves out findings about what was
// added.
func Check(cfg *flowhook.Config, opts flowhook.Options) []flowhook.Finding {
	opts, filled := Options(cfg, opts)
	return slices.DeleteFunc(cfg.Check(opts), func(f flowhook.Finding) bool {
		of := func(option string) bool { return strings.HasPrefix(f.Path, option) }
		return f.Position == (flowhook.Position{}) && slices.ContainsFunc(filled, of)
	})
}

// Secret returns a new secret that no rule has a finding about.
func Secret() string { return rand.Text() + rand.Text() + rand.Text() }

// A courier sends nothing, because no hook runs.
type courier struct{}

func (courier) Send(context.Context, flowhook.Message) error { return nil }
