// Package pagehook has the hook of docs/hooks.md, for the registrations in the other pages.
package pagehook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

// AllowDomains is the factory of the hook.
var AllowDomains flowhook.HookFactory = allowDomains

func allowDomains(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	var config struct {
		Domains []string `yaml:"domains"`
	}
	if p.Phase != flowhook.BeforePersist {
		return nil, errors.New("it refuses before anything is saved; write phase: before_persist")
	}
	if err := decode(&config); err != nil {
		return nil, err
	}
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		if x.Identity == nil { // the handler sets it too late, in save
			return flowhook.ErrNoIdentity
		}
		for _, a := range x.Identity.Addresses {
			if _, domain, _ := strings.Cut(a.Value, "@"); !slices.Contains(config.Domains, domain) {
				return flowhook.Refuse(http.StatusForbidden, "wrong_domain",
					"Please use your company's address.")
			}
		}
		return nil
	}), nil
}
