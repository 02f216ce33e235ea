package proxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// PostgreSQL is the protocol of PostgreSQL, version 3.
var PostgreSQL = Protocol{readMessage: readPostgreSQL, readAnswer: readPostgreSQLAnswer}

// readPostgreSQL reads a message of the client. The first one of a connection has no kind.
func readPostgreSQL(r *bufio.Reader, first bool) (m Message, err error) {
	const cancelRequest = 80877102
	header := 4
	if !first {
		header = 5
	}
	payload, err := framePostgreSQL(r, header, &m.raw)
	if err != nil {
		return m, err
	}
	if first {
		m.Kind, m.Answered = Opens, true
		if len(payload) >= 4 && binary.BigEndian.Uint32(payload) == cancelRequest {
			m.Kind, m.Answered = Cancels, false
		}
		return m, nil
	}
	texts := strings.Split(string(payload), "\x00")
	switch kind := m.raw[0]; {
	case kind == 'Q': // Query
		m.Statement, m.Answered = texts[0], true
	case kind == 'P' && len(texts) > 1: // Parse
		m.Statement = texts[1] // after the name
	case kind == 'S', kind == 'F': // Sync, FunctionCall
		m.Answered = true
	case kind == 'p': // a password, or a step of SASL
		m.Kind, m.Answered = LogsIn, true
	case kind == 'X': // Terminate
		m.Kind = Closes
	}
	return m, nil
}

// readPostgreSQLAnswer reads a message of the server. An answer ends when the server is ready for
// the next command, or asks for a step of the login.
func readPostgreSQLAnswer(r *bufio.Reader) (raw []byte, ends bool, err error) {
	const ok, final = 0, 12 // the server goes on after these steps
	payload, err := framePostgreSQL(r, 5, &raw)
	if err != nil {
		return nil, false, err
	}
	switch raw[0] {
	case 'Z': // ReadyForQuery
		ends = true
	case 'R': // Authentication
		ends = len(payload) >= 4 && binary.BigEndian.Uint32(payload) != ok && binary.BigEndian.Uint32(payload) != final
	}
	return raw, ends, nil
}

// framePostgreSQL reads a message whose header has so many bytes. The last four of them are a
// length that counts itself and the payload.
func framePostgreSQL(r *bufio.Reader, header int, raw *[]byte) (payload []byte, err error) {
	start, err := r.Peek(header)
	if err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(start[header-4:]))
	if length < 4 || length > maxMessage {
		return nil, fmt.Errorf("proxy: a message of PostgreSQL has the length %d", length)
	}
	*raw = make([]byte, header-4+int(length))
	_, err = io.ReadFull(r, *raw)
	return (*raw)[header:], err
}

// maxMessage is more than any message of a test has.
const maxMessage = 64 << 20
