package proxy

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A link is a connection of a client, with its connection to the server.
type link struct {
	*Proxy
	client, server net.Conn
	messages       chan Message
	gone           chan struct{} // closed when the client has closed its connection
	over           chan struct{} // closed when the link has ended
	asked          atomic.Bool   // the client has sent something since the last answer

	answers sync.Mutex  // guards what follows
	open    []Verdict   // of the messages after the last one that is answered
	due     [][]Verdict // for each answer that is to come, of the messages that it answers
}

func newLink(p *Proxy, client net.Conn) *link {
	return &link{Proxy: p, client: client,
		messages: make(chan Message, 64), gone: make(chan struct{}), over: make(chan struct{})}
}

// serve forwards the connection until either side closes it or the proxy cuts it.
func (l *link) serve() {
	defer close(l.over)
	defer l.drop(l.client)
	l.running.Go(l.receive)
	m := Message{Kind: Opens, Answered: true}
	if !l.protocol.serverFirst {
		var ok bool
		if m, ok = <-l.messages; !ok {
			return
		}
	}
	if !l.dialAndForward(m) {
		return
	}
	defer l.drop(l.server)
	l.running.Go(l.answer)
	for m := range l.messages {
		if !l.forward(m, l.judge(m)) {
			return
		}
	}
}

// dialAndForward connects to the server unless the verdict about the first message prevents it.
func (l *link) dialAndForward(first Message) (ok bool) {
	v := l.judge(first)
	if !l.admit(v) {
		return false
	}
	server, err := net.Dial("tcp", l.Proxy.server)
	if err != nil || !l.track(server) {
		return false
	}
	l.server = server
	if !l.send(first, v) {
		l.drop(server)
		return false
	}
	return true
}

// receive reads the client's messages. It notices that the client has closed the connection even
// while a message is being held.
func (l *link) receive() {
	defer close(l.gone)
	defer close(l.messages)
	r := bufio.NewReader(asking{l.client, &l.asked})
	for first := !l.protocol.serverFirst; ; first = false {
		m, err := l.protocol.readMessage(r, first)
		if err != nil {
			return
		}
		select {
		case l.messages <- m:
		case <-l.over:
			return
		}
	}
}

// An asking connection notes when the client has sent something.
type asking struct {
	net.Conn
	asked *atomic.Bool
}

func (a asking) Read(b []byte) (n int, err error) {
	n, err = a.Conn.Read(b)
	if n > 0 {
		a.asked.Store(true)
	}
	return n, err
}

func (l *link) forward(m Message, v Verdict) (ok bool) { return l.admit(v) && l.send(m, v) }

// admit does what the verdict says before the server gets the message, and reports whether the
// server gets it.
func (l *link) admit(v Verdict) bool {
	if v.Delay > 0 {
		select {
		case <-time.After(v.Delay):
		case <-l.gone:
			return false
		}
	}
	if v.Before != nil {
		v.Before()
	}
	switch v.Do {
	case Hold:
		return l.wait(v, l.gone)
	case Cut:
		return false
	}
	return true
}

// send sends a message to the server.
func (l *link) send(m Message, v Verdict) (ok bool) {
	l.answers.Lock()
	if v.withholds() {
		l.open = append(l.open, v)
	}
	if m.Answered {
		l.due, l.open = append(l.due, l.open), nil
	}
	l.answers.Unlock()
	_, err := l.server.Write(m.raw)
	return err == nil
}

// answer forwards the server's answers.
func (l *link) answer() {
	defer l.client.Close()
	r := bufio.NewReader(l.server)
	var kept []byte // of an answer that is not forwarded yet
	for {
		raw, ends, err := l.protocol.readAnswer(r)
		if err != nil {
			return
		}
		kept = append(kept, raw...)
		verdicts := l.current(ends)
		if !ends && (len(verdicts) > 0 || r.Buffered() > 0) {
			continue
		}
		for _, v := range verdicts {
			if !l.release(v) {
				return
			}
		}
		if l.asked.Swap(false) {
			l.countTrip()
		}
		if _, err := l.client.Write(kept); err != nil {
			return
		}
		kept = nil
	}
}

// current returns the verdicts about the answer that the server is sending. If that ends, the next
// one is current from then on.
func (l *link) current(ends bool) []Verdict {
	l.answers.Lock()
	defer l.answers.Unlock()
	if len(l.due) == 0 {
		return l.open
	}
	verdicts := l.due[0]
	if ends {
		l.due = l.due[1:]
	}
	return verdicts
}

// release does what the verdict says about an answer, and reports whether the client gets it.
func (l *link) release(v Verdict) bool {
	if v.After != nil {
		v.After()
	}
	switch v.Do {
	case HoldAnswer:
		return l.wait(v, l.gone)
	case CutAnswer:
		return false
	}
	return true
}
