package hookpage_test

import (
	"log"
	"net/http"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
)

// Serve the page on a listener of its own, which only this machine can reach.
func ExampleHandler() {
	cfg, err := flowhook.LoadConfig("auth.yml")
	if err != nil {
		log.Fatal(err)
	}
	recorder := hookpage.NewRecorder()
	pipeline, err := flowhook.New(cfg, flowhook.Options{Wrap: recorder.Wrap})
	if err != nil {
		log.Fatal(err)
	}
	operators := http.NewServeMux()
	operators.Handle("/debug/hooks", hookpage.Handler(pipeline, hookpage.Options{Recorder: recorder, File: "auth.yml"}))
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:6060", operators)) }()
}
