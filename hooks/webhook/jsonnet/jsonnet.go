// Package jsonnet renders the bodies of web_hook entries that are written in Jsonnet, as files of
// Ory Kratos have them. Pass [Body] to the hook:
//
//	hook, err := webhook.New(webhook.Options{Body: jsonnet.Body})
//
// # Snippets
//
// A snippet is a function with the parameter ctx:
//
//	function(ctx) { id: ctx.identity.id, flow: ctx.flow.name }
//
// The result is rendered as Kratos renders it: indented JSON with sorted keys and a newline at the
// end. An error or a failed assertion whose text begins with "cancel" skips the call. As in Kratos,
// a snippet that is not a function is rendered without ctx.
//
// # Sources
//
// The body of an entry says where its snippet is. It is read once, when the file is loaded.
//
//   - base64://TEXT is the snippet itself, in standard base64 with padding.
//   - file://PATH is a file, relative to the YAML file. flowhook reads it itself, and passes its text
//     on: a source without a scheme is the snippet itself.
//   - https://URL is fetched within 10 seconds, without a proxy, also from a private network.
//     Redirects are errors, and so is plain http.
//
// A path without a scheme is an error, because only old versions of Kratos took it for a file.
//
// # Limits
//
// Snippets are code that runs in the service, so they must be the operator's own. Never take one
// from a user. The limits protect the service from mistakes, and not from an attacker:
//
//   - A snippet has at most 32 KiB, 1,000 brackets, and 500 expressions inside each other.
//   - ctx has at most 32 KiB as JSON, and the rendered body at most 64 KiB.
//   - At most 500 calls may be nested, and tailstrict is not allowed.
//   - An evaluation has one second, including the wait for its turn.
//   - At most 4 evaluations of a snippet run at a time; others wait for their turn.
//
// An evaluation cannot be canceled. After its second, the caller gets an error, and the evaluation
// runs on: it keeps a processor busy, and its turn, until it ends or the service stops. If all 4
// evaluations of a snippet are late, further calls fail at once. Other snippets are not affected.
// Each call of Body counts for itself, so reloading the file does not end late evaluations, but the
// new snippets start with 4 free turns.
//
// Memory is not limited. A snippet that makes huge values by itself can exhaust it, which ends the
// service: std.range(1, 1e9) takes all memory, and std.setUnion needs about 13 KB of stack for each
// element.
//
// # Secrecy
//
// Imports, external variables and native functions are refused when the file is loaded. The output
// of std.trace is discarded. No error contains anything from ctx: the texts of errors that occur
// during an evaluation are withheld, because they could quote it, and replaced by the line.
package jsonnet

import (
	"fmt"
	"time"

	"github.com/google/go-jsonnet/ast"
)

// evaluationLimit is the time for one evaluation: that of Kratos.
const evaluationLimit = time.Second

// Body reads and checks the snippet that an entry's body refers to. The function that it returns
// renders the body from ctx, which must be a value that encoding/json can encode. It may be called
// concurrently. Its error wraps [webhook.ErrCanceled] if the snippet skips the call.
//
// An error names the scheme of the source, if there is one, and the line of the snippet. It contains
// nothing from ctx, and of the snippet at most names.
func Body(source string) (func(ctx any) ([]byte, error), error) {
	return body(source, evaluationLimit)
}

func body(source string, limit time.Duration) (func(ctx any) ([]byte, error), error) {
	where, text, err := load(source)
	if err == nil {
		var code ast.Node
		if code, err = parse(text); err == nil {
			return newRenderer(where, code, limit).render, nil
		}
	}
	return nil, wrap(where, err)
}

// wrap adds where a snippet is from. The snippet itself needs no name: flowhook names the key that
// it is in.
func wrap(where string, err error) error {
	if where != "" {
		err = fmt.Errorf("%s: %w", where, err)
	}
	return fmt.Errorf("jsonnet: %w", err)
}
