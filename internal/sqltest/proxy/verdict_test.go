package proxy_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
)

// Messages that the client sent at once are one round trip, whatever the server does.
func TestRoundTrips_BatchCountsOnce(t *testing.T) {
	p, _ := open(t)
	c := dial(t, p)
	before := p.RoundTrips()
	require.Equal(t, 1, before, "opening")
	c.send(append(message('B', ""), message('S', "")...))
	c.requireAnswers(1)
	require.Equal(t, before+1, p.RoundTrips())
	c.send(append(message('Q', "one\x00"), message('Q', "two\x00")...))
	c.requireAnswers(2)
	require.Equal(t, before+2, p.RoundTrips())
}

func TestCut_ServerNeverGetsTheMessage(t *testing.T) {
	p, s := open(t)
	c := dial(t, p)
	p.On(proxy.Nth(2, proxy.Verdict{Do: proxy.Cut}))
	c.send(append(message('B', ""), message('S', "")...))
	c.requireCut()
	require.NotContains(t, s.seen(), "S")
}

func TestCutAnswer_ServerHasAnswered(t *testing.T) {
	p, s := open(t)
	c := dial(t, p)
	var answered atomic.Bool
	p.On(proxy.Nth(1, proxy.Verdict{Do: proxy.CutAnswer, After: func() { answered.Store(true) }}))
	c.send(append(message('B', ""), message('S', "")...))
	c.requireCut()
	require.Equal(t, "-BS", s.seen())
	require.True(t, answered.Load())
}

func TestHold_HealReleases(t *testing.T) {
	for _, a := range []proxy.Action{proxy.Hold, proxy.HoldAnswer} {
		p, s := open(t)
		c := dial(t, p)
		p.On(proxy.Statement("COMMIT", a))
		c.send(message('Q', "commit\x00"))
		require.Eventually(t, func() bool { return p.Held() == 1 }, 10*time.Second, time.Millisecond)
		require.Equal(t, map[proxy.Action]string{proxy.Hold: "-", proxy.HoldAnswer: "-Q"}[a], s.seen())
		p.Heal()
		c.requireAnswers(1)
		require.Zero(t, p.Held())
	}
}

// What is held when the proxy cuts, or the client has closed its connection, is dropped.
func TestHold_CutOrClosed(t *testing.T) {
	for _, ends := range []func(p *proxy.Proxy, c client){
		func(p *proxy.Proxy, c client) { p.Cut(); c.requireCut() },
		func(p *proxy.Proxy, c client) { c.Close() },
	} {
		p, s := open(t)
		c := dial(t, p)
		p.On(proxy.Nth(1, proxy.Verdict{Do: proxy.Hold}))
		c.send(message('Q', "commit\x00"))
		require.Eventually(t, func() bool { return p.Held() == 1 }, 10*time.Second, time.Millisecond)
		ends(p, c)
		require.Eventually(t, func() bool { return p.Held() == 0 }, 10*time.Second, time.Millisecond)
		p.Close()
		require.Equal(t, "-", s.seen())
	}
}

func TestBefore_ServerHasNotGotTheMessage(t *testing.T) {
	p, s := open(t)
	c := dial(t, p)
	var before, after atomic.Value
	p.On(proxy.Nth(1, proxy.Verdict{
		Before: func() { before.Store(s.seen()) },
		After:  func() { after.Store(s.seen()) },
	}))
	c.send(message('Q', "one\x00"))
	c.requireAnswers(1)
	require.Equal(t, "-", before.Load())
	require.Equal(t, "-Q", after.Load())
}

func TestDelay_PassesBeforeTheMessage(t *testing.T) {
	const delay = 20 * time.Millisecond
	p, _ := open(t)
	c := dial(t, p)
	p.On(proxy.Nth(1, proxy.Verdict{Delay: delay}))
	began := time.Now()
	c.send(message('Q', "one\x00"))
	c.requireAnswers(1)
	require.GreaterOrEqual(t, time.Since(began), delay)
}

// A request to cancel a command, and the end of a connection, are not messages of a call.
func TestOn_IsNotAskedAboutBackground(t *testing.T) {
	const cancelRequest = "\x04\xd2\x16\x2e"
	p, s := open(t)
	c := dial(t, p)
	p.On(func(m proxy.Message) proxy.Verdict {
		t.Errorf("asked about a message of the kind %d", m.Kind)
		return proxy.Verdict{}
	})
	c.send(message('X', ""))
	canceling, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	defer canceling.Close()
	client{canceling, t}.send(start(cancelRequest))
	require.Eventually(t, func() bool { return s.seen() == "-X-" || s.seen() == "--X" }, 10*time.Second, time.Millisecond)
}
