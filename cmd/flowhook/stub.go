package main

import (
	"context"
	"log/slog"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/need"
)

var _ need.Stub = (*stub)(nil)

var discard = slog.New(slog.DiscardHandler)

// A stub stands for a hook of the service's own, which the command does not have. It takes any
// config.
type stub struct{ config map[string]any }

func newStub(name string) flowhook.HookFactory {
	return func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		h := &stub{}
		err := decode(&h.config)
		if name == "web_hook" || name == "rate_limit" {
			return moduleStub{h}, err
		}
		return h, err
	}
}

// Stub implements [need.Stub].
func (*stub) Stub() {}

func (*stub) Run(context.Context, *flowhook.Exchange) error { return nil }

// A moduleStub stands for a hook of the modules hooks/webhook and hooks/ratelimit.
type moduleStub struct{ *stub }

// Findings returns none. Having the method keeps the rule slow-lock away, as the real hooks do.
func (moduleStub) Findings(flowhook.Point) []flowhook.Finding { return nil }

// Place moves a web_hook that decides whether the flow may go on.
func (h moduleStub) Place(flowhook.Point) flowhook.Phase {
	response, _ := h.config["response"].(map[string]any)
	if h.config["mode"] == "gate" || h.config["can_interrupt"] == true || response["parse"] == true {
		return flowhook.BeforePersist
	}
	return flowhook.After
}
