package flowhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// maxBody is what a hook may answer with, in bytes. Hooks redirect and refuse; they do not serve files.
const maxBody = 1 << 20

var (
	errStageClosed = errors.New("flowhook: write after the chain has ended")
	errSecondWrite = errors.New("answered twice: WriteHeader was called a second time")
	errBodyTooBig  = fmt.Errorf("the answer's body is over %d bytes", maxBody)
)

// A stage is the ResponseWriter that hooks see. It keeps what they write until the run has succeeded, so that an error
// leaves the real writer as it was. It has no optional interface and no Unwrap: neither a type assertion nor
// http.ResponseController reaches the connection. Its methods are safe for concurrent use, because a hook may have left
// a goroutine behind; the header map is the hook's own.
type stage struct {
	state   *atomic.Int32       // the exchange's: it takes nothing but in a run
	real    http.ResponseWriter // changes only while the state is not staged
	touched atomic.Bool         // a method was called: somebody may hold on to this stage

	mu     sync.Mutex  // guards what follows
	closed bool        // its run is over
	base   http.Header // the real header when header was made
	header http.Header // what the hooks made of it; nil until asked for
	status int         // 0 until answered
	body   []byte
	misuse error // the first thing that was done wrong
}

func (s *stage) Header() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open() {
		return http.Header{} // goes nowhere
	}
	if s.header == nil {
		s.base = s.real.Header().Clone()
		s.header = s.base.Clone()
		if s.header == nil {
			s.header = http.Header{}
		}
	}
	return s.header
}

func (s *stage) WriteHeader(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch open := s.open(); {
	case !open:
	case status < 200 || status > 999:
		s.fail(fmt.Errorf("answered with status %d; a hook answers with a final one, 200 to 999", status))
	case s.status != 0:
		s.fail(errSecondWrite)
	default:
		s.status = status
	}
}

func (s *stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open() {
		return 0, errStageClosed
	}
	if s.status == 0 {
		s.status = http.StatusOK
	}
	if s.status == http.StatusNoContent || s.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if len(s.body)+len(b) > maxBody {
		s.fail(errBodyTooBig)
		return 0, errBodyTooBig
	}
	s.body = append(s.body, b...)
	return len(b), nil
}

// open is the first thing that a method does. It marks the stage before it looks at the state, and close the other way
// round: so either a write finds the stage closed, or close finds that there is something.
func (s *stage) open() bool {
	s.touched.Store(true)
	return !s.closed && s.state.Load() == staged
}

// close ends the stage: from now on nothing written to it has an effect.
func (s *stage) close() {
	s.state.Store(busy)
	if s.touched.Load() {
		s.shut()
	}
}

func (s *stage) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *stage) fail(err error) {
	if s.misuse == nil {
		s.misuse = err
	}
}

// result gives the status of the answer, 0 if there is none, and what was done wrong.
func (s *stage) result() (status int, misuse error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.misuse
}

// release lets out what was staged, after close, and says whether it was an answer. The error is that of a client that
// is gone.
func (s *stage) release() (answered bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header != nil {
		real := s.real.Header()
		for k, v := range s.header {
			if was, ok := s.base[k]; !ok || !slices.Equal(was, v) {
				real[k] = slices.Clone(v)
			}
		}
		for k := range s.base {
			if _, ok := s.header[k]; !ok {
				delete(real, k)
			}
		}
	}
	if s.status == 0 {
		return false, nil
	}
	s.real.WriteHeader(s.status)
	if len(s.body) > 0 {
		_, err = s.real.Write(s.body)
	}
	return true, err
}

// restoreHeader makes h what it was.
func restoreHeader(h, was http.Header) {
	clear(h)
	maps.Copy(h, was)
}
