// Package otelflowhook shows the hooks of a flowhook pipeline in OpenTelemetry: a span and a duration of every run of a
// hook. [Wrap] makes the function for flowhook's Options.Wrap.
//
// # What is recorded
//
// The span is named after the hook ("hook session"), internal, and a child of the span in the context that the pipeline
// was run with. The hook gets a context with the span, so that its own statements and requests are children of it. What
// it leaves for Exchange.AfterCommit is not in the span, nor in the duration: it runs after the commit, below the
// request's span.
//
// The duration is the histogram flowhook.hook.duration, in seconds, with the boundaries of http.server.request.duration;
// a View of the MeterProvider changes them. Span and histogram have the same attributes:
//
//   - flowhook.flow, flowhook.phase and flowhook.strategy are the point of the run: of a flow-wide hook too, the strategy
//     is that of the run. It is left out where the run has none.
//   - flowhook.hook is the name of the hook in the file.
//   - flowhook.outcome is passed, answered or failed. An answer that the pipeline rejects, such as
//     a status of 400 at after or a second WriteHeader, is failed.
//   - error.type is there where the hook has failed, and so is the span's status Error.
//
// # Failures
//
// error.type is, in this order:
//
//   - "panic", "http.ErrAbortHandler" or "runtime.Goexit", where the hook did not return; each goes on unchanged;
//   - what the method ErrorType() string of the error, or of one that it wraps, says. It should be one of few words;
//   - "timeout" for context.DeadlineExceeded, "context_canceled" for context.Canceled;
//   - flowhook's own errors by their names, such as "flowhook.ErrNoIdentity";
//   - the Go type of the error that stands below the wrappers of fmt and errors;
//   - "_OTHER" where the error panics on being looked at.
//
// The text of an error or a panic is recorded nowhere: it may name a person. flowhook's HookError has it, for the log.
package otelflowhook
