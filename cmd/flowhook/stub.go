package main

import (
	"context"
	"log/slog"

	"github.com/flowhook/flowhook"
)

var discard = slog.New(slog.DiscardHandler)

// A stub stands for a hook of the service's own, which the command does not have. It takes any
// config.
type stub struct {
	name   string
	config map[string]any
}

func newStub(name string) flowhook.HookFactory {
	return func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		h := &stub{name: name}
		return h, decode(&h.config)
	}
}

func (*stub) Run(context.Context, *flowhook.Exchange) error { return nil }

// Place moves a web_hook that decides whether the flow may go on, as the module hooks/webhook does.
func (h *stub) Place(flowhook.Point) flowhook.Phase {
	response, _ := h.config["response"].(map[string]any)
	gate := h.config["mode"] == "gate" || h.config["can_interrupt"] == true || response["parse"] == true
	if h.name == "web_hook" && gate {
		return flowhook.BeforePersist
	}
	return flowhook.After
}
