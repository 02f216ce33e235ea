// Customhook shows how to write a hook of your own, from its YAML config to its test: see hook.go,
// auth.yml and hook_test.go. This program runs the hook. Run it in the root of the repository:
//
//	go run ./examples/customhook
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/flowhook/flowhook"
)

// options returns the options of the service. The hook's test uses them, too.
func options() flowhook.Options {
	return flowhook.Options{Hooks: map[string]flowhook.HookFactory{"block_disposable": blockDisposable}}
}

// register returns the registration handler, to be wrapped in Middleware. A real one passes a save
// function to Complete.
func register(p *flowhook.Pipeline) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: r.FormValue("email"),
			Addresses: []flowhook.Address{{Via: "email", Value: r.FormValue("email")}}}
		handled, err := p.Complete(r.Context(), flowhook.Registration, flowhook.Password, nil)
		switch {
		case handled:
		case err != nil:
			log.Print(err)
			http.Error(w, "We can't register you right now. Please try again.", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "Welcome!")
		}
	}
}

// fakeService is the service that the hook asks. It lists one domain and never answers about
// another.
func fakeService(w http.ResponseWriter, r *http.Request) {
	switch domain := r.FormValue("domain"); {
	case r.Header.Get("Authorization") != "Bearer only-for-this-example":
		http.Error(w, "unauthorized", http.StatusUnauthorized)
	case domain == "disposable.example":
		fmt.Fprintln(w, "listed")
	case domain == "slow.example":
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func main() {
	log.SetFlags(0)
	file := flag.String("config", "examples/customhook/auth.yml", "the file that configures the hooks")
	flag.Parse()

	// In production, the environment of the service sets these.
	check(os.Setenv("DISPOSABLE_SERVICE", serve(http.HandlerFunc(fakeService))))
	check(os.Setenv("DISPOSABLE_TOKEN", "only-for-this-example"))

	cfg, err := flowhook.LoadConfig(*file)
	check(err)
	p, err := flowhook.New(cfg, options())
	check(err)
	fmt.Println(p.Plan())

	service := serve(p.Middleware(flowhook.Registration)(register(p)))
	for _, email := range []string{"alice@example.org", "bob@elsewhere.example", "eve@disposable.example",
		"sam@slow.example"} {
		res, err := http.PostForm(service, url.Values{"email": {email}})
		check(err)
		answer, err := io.ReadAll(res.Body)
		check(err)
		check(res.Body.Close())
		fmt.Printf("%s registers: %s, %s", email, res.Status, answer)
	}
}

// serve serves h on a free local port until the program exits, and returns the URL.
func serve(h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { log.Fatal(http.Serve(l, h)) }()
	return "http://" + l.Addr().String()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
