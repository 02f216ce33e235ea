package hookpage

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// A reloaded pipeline is reloaded as soon as it has given its findings.
type reloaded struct {
	*flowhook.Pipeline
	next []*flowhook.Config
}

func (p *reloaded) Findings() []flowhook.Finding {
	defer func() {
		if len(p.next) > 0 {
			if err := p.Reload(p.next[0]); err != nil {
				panic(err)
			}
			p.next = p.next[1:]
		}
	}()
	return p.Pipeline.Findings()
}

func TestFindingsAndHooksAreOfOneConfiguration(t *testing.T) {
	closed := func(flow flowhook.Flow) *flowhook.Config {
		cfg := &flowhook.Config{}
		cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.Before}, "redirect", flowhook.Redirect("/closed"))
		cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.Before}, "late", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil }))
		return cfg
	}
	first, err := flowhook.New(closed(flowhook.Login), flowhook.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	v := newView(&reloaded{first, []*flowhook.Config{closed(flowhook.Settings), closed(flowhook.Recovery)}})
	require.Len(t, v.Flows, 1)
	require.Equal(t, "recovery", v.Flows[0].Name)
	require.Empty(t, v.Settings, "each finding is about a hook that is there")
	require.Equal(t, 2, v.Notes)
}
