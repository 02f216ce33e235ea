// Customhook is a hook of a service's own, from its config in YAML to its test: hook.go, auth.yml, hook_test.go. The program
// shows it at work. From the root of the repository: go run ./examples/customhook
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

// options are what the hook's test needs of the service, too.
func options() flowhook.Options {
	return flowhook.Options{Hooks: map[string]flowhook.HookFactory{"block_disposable": blockDisposable}}
}

// register returns the service's handler, to be wrapped in Middleware. A real one passes a save to
// Complete.
func register(p *flowhook.Pipeline) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: r.FormValue("email"), Addresses: []flowhook.Address{{Via: "email", Value: r.FormValue("email")}}}
		handled, err := p.Complete(r.Context(), flowhook.Registration, flowhook.Password, nil)
		switch {
		case handled:
		case err != nil:
			log.Print(err)
			http.Error(w, "We cannot register you now. Please try again.", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "Welcome!")
		}
	}
}

// knows stands for the service that is asked. It knows one domain, and about another it never answers.
func knows(w http.ResponseWriter, r *http.Request) {
	switch domain := r.FormValue("domain"); {
	case r.Header.Get("Authorization") != "Bearer only-for-this-example":
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case domain == "throwaway.example":
		fmt.Fprintln(w, "known")
	case domain == "slow.example":
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func main() {
	log.SetFlags(0)
	file := flag.String("config", "examples/customhook/auth.yml", "what runs around registration")
	flag.Parse()

	// Where the service runs, its environment has these.
	check(os.Setenv("DISPOSABLE_SERVICE", serve(http.HandlerFunc(knows))))
	check(os.Setenv("DISPOSABLE_TOKEN", "only-for-this-example"))

	cfg, err := flowhook.LoadConfig(*file)
	check(err)
	p, err := flowhook.New(cfg, options())
	check(err)
	fmt.Println(p.Plan())

	service := serve(p.Middleware(flowhook.Registration)(register(p)))
	for _, email := range []string{"alice@example.org", "bob@elsewhere.example", "eve@throwaway.example", "sam@slow.example"} {
		res, err := http.PostForm(service, url.Values{"email": {email}})
		check(err)
		answer, err := io.ReadAll(res.Body)
		check(err)
		check(res.Body.Close())
		fmt.Printf("%s registers: %s, %s", email, res.Status, answer)
	}
}

// serve serves on a free port of this machine until the program ends, and gives the URL.
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
