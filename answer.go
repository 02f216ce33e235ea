package flowhook

import (
	"fmt"

	"github.com/flowhook/flowhook/internal/stage"
)

// finish closes the stage after the last hook, or save, of a run. It checks once more, because a
// goroutine that one of them started may have written meanwhile. The answer is final then.
func (x *Exchange) finish() error {
	stage.Close(x.run.stage)
	if x.untouched() {
		return nil
	}
	if _, err := x.answer(); err != nil {
		return x.caused(err)
	}
	return nil
}

// untouched reports whether a hook did nothing that answer has to look at.
func (x *Exchange) untouched() bool {
	r := &x.run
	return !stage.Touched(r.stage) && !x.guard.Refused() && x.Writer == r.stage && x.Request == r.request
}

// answer checks what a hook, or save, did to the exchange, and reports whether the hook has answered.
func (x *Exchange) answer() (answered bool, err error) {
	status, misuse := stage.Result(x.run.stage)
	switch {
	case misuse != nil:
		return false, misuse
	case x.Writer != x.run.stage || x.Request != x.run.request:
		return false, errReplaced
	case (status != 0 || x.guard.Refused()) && x.run.hook == nil:
		return false, errAnswered
	case x.guard.Refused():
		return false, errRefused
	case x.lost() && (status != 0 || stage.Changed(x.run.stage)):
		if stage.Real(x.run.stage) == nil {
			return false, errNoWriter
		}
		return false, errBegun
	case status >= 400 && x.run.chain.point.Phase == After:
		return false, fmt.Errorf("answered with status %d, after everything was saved; refuse at before_persist, or by returning an error", status)
	}
	return status != 0, nil
}

// lost reports whether nothing that a hook answers can reach the client.
func (x *Exchange) lost() bool { return stage.Real(x.run.stage) == nil || x.guard.Begun() }
