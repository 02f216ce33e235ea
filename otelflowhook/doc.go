// Package otelflowhook reports the hooks of a flowhook pipeline to OpenTelemetry: a span and a
// duration for each run of a hook. [Wrap] returns the function for flowhook's Options.Wrap.
//
// # What is recorded
//
// The span is internal and named after the hook, such as "hook session". Its parent is the span in
// the context with which the pipeline was run. The hook gets a context with the span, so that its
// own statements and requests are children of it. Functions that a hook passes to
// Exchange.AfterCommit are part of neither the span nor the duration. They run after the commit,
// below the span of the request.
//
// The duration is the histogram flowhook.hook.duration, in seconds. It has the boundaries of
// http.server.request.duration, which a View of the MeterProvider can change. Span and histogram
// have the same attributes:
//
//   - flowhook.flow, flowhook.phase and flowhook.strategy are the point of the run. For a flow-wide
//     hook, too, the strategy is that of the run. Without a strategy, there is no such attribute.
//   - flowhook.hook is the name of the hook in the file.
//   - flowhook.outcome is passed, answered, refused or failed. It is refused if the hook returned a
//     flowhook.Refusal, even if it has also answered. An answer that the pipeline rejects, such as
//     a status of 400 at after or a second WriteHeader, is failed. So is a Refusal with a status
//     that is not 400 to 499.
//   - error.type is present if the hook failed. Then the status of the span is Error, too. A hook
//     that refused has not failed.
//
// # Failures
//
// error.type is the first of these that applies:
//
//   - "panic", "http.ErrAbortHandler" or "runtime.Goexit" if the hook did not return. The panic or
//     Goexit continues unchanged.
//   - The result of the method ErrorType() string of the error or of one that it wraps. It should
//     be one of a few words.
//   - "timeout" for context.DeadlineExceeded, and "context_canceled" for context.Canceled.
//   - The name of an error of flowhook, such as "flowhook.ErrNoIdentity".
//   - The Go type of the error without the wrappers of fmt and errors.
//   - "_OTHER" if a method of the error panics.
//
// The text of an error or a panic is not recorded, because it may contain personal data. flowhook's
// HookError has it, for the log.
package otelflowhook
