// Package stage buffers the answers of hooks until the run has succeeded.
package stage

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// maxBody is the largest body that a hook may answer with, in bytes. Hooks redirect and refuse;
// they do not serve files.
const maxBody = 1 << 20

var (
	errStageClosed = errors.New("flowhook: write after the chain has ended")
	errSecondWrite = errors.New("answered twice: WriteHeader was called a second time")
	errBodyTooBig  = fmt.Errorf("the body of the answer exceeds %d bytes", maxBody)
)

// A Stage is the ResponseWriter that hooks see. It buffers what they write until the run has
// succeeded, so that an error leaves the real writer unchanged. It has no optional interface and no
// Unwrap, so neither a type assertion nor http.ResponseController reaches the connection.
//
// Its methods are safe for concurrent use, because a hook may leave a goroutine running. The header
// map is not; it belongs to the hook. Everything that hooks must not call is a function of this
// package, not a method.
type Stage struct {
	closed  atomic.Bool
	touched atomic.Bool         // a method was called, so a hook may keep a reference to this stage
	real    http.ResponseWriter // nil if there is no client

	mu     sync.Mutex  // guards what follows
	base   http.Header // the real header before the run
	header http.Header // the header with the hooks' changes; nil until Header is called
	answer *answer     // nil until answered
}

// An answer is what a hook wrote. Most runs have none, so a stage does not have room for it.
type answer struct {
	status int
	body   []byte
	misuse error // the first one
}

func (s *Stage) Header() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.takes() {
		return http.Header{} // changes to it are lost
	}
	if s.header == nil {
		if s.base == nil && s.real != nil {
			s.base = s.real.Header().Clone()
		}
		s.header = s.base.Clone()
		if s.header == nil {
			s.header = http.Header{}
		}
	}
	return s.header
}

func (s *Stage) WriteHeader(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch takes := s.takes(); {
	case !takes:
	case status < 200 || status > 999:
		s.fail(fmt.Errorf("answered with status %d; a hook must answer with a final status, 200 to 999", status))
	case s.answered():
		s.fail(errSecondWrite)
	default:
		s.given().status = status
	}
}

func (s *Stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.takes() {
		return 0, errStageClosed
	}
	a := s.given()
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if len(a.body)+len(b) > maxBody {
		s.fail(errBodyTooBig)
		return 0, errBodyTooBig
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

func (s *Stage) answered() bool { return s.answer != nil && s.answer.status != 0 }

// given returns the answer, to be changed.
func (s *Stage) given() *answer {
	if s.answer == nil {
		s.answer = &answer{}
	}
	return s.answer
}

// takes reports whether the stage is open. Each method calls it first, with the mutex locked. It
// sets touched before it reads closed, and Close does the reverse. So either the write is rejected
// or Close waits for it.
func (s *Stage) takes() bool {
	s.touched.Store(true)
	return !s.closed.Load()
}

// Begin puts a new stage in front of w, which may be nil.
func Begin(s *Stage, w http.ResponseWriter) { s.real = w }

// Close closes the stage. It waits for a write in progress; later writes have no effect. The stage
// copies the header, because a hook may still change its map.
func Close(s *Stage) {
	s.closed.Store(true)
	if s.touched.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.header = s.header.Clone()
	}
}

// Touched reports whether a method of http.ResponseWriter was called. It is cheap.
func Touched(s *Stage) bool { return s.touched.Load() }

// Real returns the writer that was passed to Begin.
func Real(s *Stage) http.ResponseWriter { return s.real }

func (s *Stage) fail(err error) {
	if a := s.given(); a.misuse == nil {
		a.misuse = err
	}
}

// Result returns the status of the answer, which is 0 if no hook has answered, and the first
// misuse.
func Result(s *Stage) (status int, misuse error) {
	if !s.touched.Load() {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == nil {
		return 0, nil
	}
	return s.answer.status, s.answer.misuse
}

// Changed reports whether the staged header differs from the real one.
func Changed(s *Stage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header != nil && !maps.EqualFunc(s.header, s.base, slices.Equal[[]string])
}

// Discard drops the staged changes of the header. Call it after Close.
func Discard(s *Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = nil
}

// Closed reports whether w is the stage of a run that has ended.
func Closed(w http.ResponseWriter) bool {
	s, ok := w.(*Stage)
	return ok && s.closed.Load()
}

// Release writes the header and the answer to the real writer. Call it after Close. An error means
// that the client is gone.
func Release(s *Stage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.real == nil {
		return nil
	}
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
	if !s.answered() {
		return nil
	}
	s.real.WriteHeader(s.answer.status)
	if len(s.answer.body) == 0 {
		return nil
	}
	_, err := s.real.Write(s.answer.body)
	return err
}

// Copy returns a copy of a header for Restore. It does not allocate one of an empty header.
func Copy(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	return h.Clone()
}

// Restore replaces the content of h with that of was.
func Restore(h, was http.Header) {
	clear(h)
	maps.Copy(h, was)
}
