package proxy

import (
	"bufio"
	"strings"
	"time"
)

// A Kind says what a message is for.
type Kind int

const (
	Command Kind = iota // on an open connection
	Opens               // opens a connection
	LogsIn              // answers the server while a connection is opened
	Closes              // announces that the client closes the connection
	Cancels             // asks PostgreSQL, on a connection of its own, to cancel a command
)

// A Message is a message of a client. What a driver does in the background, a message that Closes
// or Cancels, is forwarded without asking the function of [Proxy.On].
type Message struct {
	Kind      Kind
	Statement string // that the message runs or prepares, as far as its text is in the message
	Answered  bool   // the server answers it; otherwise it answers a later message, or none

	raw []byte // as sent; none if the server speaks first and the client has only connected
}

// A Verdict is what the proxy does with a message. The zero Verdict forwards it.
type Verdict struct {
	Delay  time.Duration // passes before everything else
	Before func()        // is called before the message is forwarded
	Do     Action
	After  func() // is called when the server has answered, before the client gets the answer

	healed, broken <-chan struct{}
}

// An Action is what a Verdict does. For a message that is not Answered, the answer is that of the
// next one that is.
type Action int

const (
	Forward    Action = iota
	Hold              // hold the message back until the proxy is healed
	Cut               // close the connection; the server never gets the message
	HoldAnswer        // hold the answer back until the proxy is healed
	CutAnswer         // close the connection when the server has answered; the client never gets the answer
)

// withholds reports whether the verdict concerns the answer.
func (v Verdict) withholds() bool { return v.Do == HoldAnswer || v.Do == CutAnswer || v.After != nil }

// Nth returns a function for [Proxy.On] that applies v to the n-th message, counting from 1.
func Nth(n int, v Verdict) func(m Message) Verdict {
	return func(Message) Verdict {
		if n--; n == 0 {
			return v
		}
		return Verdict{}
	}
}

// Statement returns a function for [Proxy.On] that does a to every message with the statement, in
// any case.
func Statement(statement string, a Action) func(m Message) Verdict {
	return func(m Message) Verdict {
		if strings.EqualFold(m.Statement, statement) {
			return Verdict{Do: a}
		}
		return Verdict{}
	}
}

// A Protocol is how a database's driver and server talk.
type Protocol struct {
	serverFirst bool // the server speaks first
	readMessage func(r *bufio.Reader, first bool) (Message, error)

	// readAnswer reads a message of the server and reports whether it is the last one of an answer.
	readAnswer func(r *bufio.Reader) (raw []byte, ends bool, err error)
}
