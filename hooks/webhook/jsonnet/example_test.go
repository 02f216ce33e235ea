package jsonnet_test

import (
	"errors"
	"fmt"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
)

// The hook calls the function for each request. A file has the snippet in base64:
//
//	function(ctx) if ctx.known then error "cancel" else { user: ctx.id }
func ExampleBody() {
	render, err := jsonnet.Body("base64://" +
		"ZnVuY3Rpb24oY3R4KSBpZiBjdHgua25vd24gdGhlbiBlcnJvciAiY2FuY2VsIiBlbHNlIHsgdXNlcjogY3R4LmlkIH0=")
	if err != nil {
		panic(err) // a mistake in the file
	}
	body, err := render(map[string]any{"id": "ada", "known": false})
	fmt.Print(string(body))
	fmt.Println(err)

	_, err = render(map[string]any{"id": "ada", "known": true})
	fmt.Println(errors.Is(err, webhook.ErrCanceled))
	// Output:
	// {
	//    "user": "ada"
	// }
	// <nil>
	// true
}
