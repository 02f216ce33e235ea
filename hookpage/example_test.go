package hookpage_test

import (
	"log"
	"net/http"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
)

// The page has a listener of its own, which only this machine reaches.
func ExampleHandler() {
	cfg, err := flowhook.LoadConfig("auth.yml")
	if err != nil {
		log.Fatal(err)
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{Count: true})
	if err != nil {
		log.Fatal(err)
	}
	operators := http.NewServeMux()
	operators.Handle("/debug/hooks", hookpage.Handler(pipeline))
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:6060", operators)) }()
}
