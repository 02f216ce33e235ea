package acceptance_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A reloadTest is a service that reloads its configuration while clients sign in.
type reloadTest struct {
	t        *testing.T
	pipeline *flowhook.Pipeline
	srv      *httptest.Server
}

// login responds with the versions that it has seen of the configuration: in its hooks, in the
// session's lifespan and in the return URL. It first checks that the client is still signed in.
func (s *reloadTest) login(w http.ResponseWriter, r *http.Request) {
	x, _ := flowhook.FromContext(r.Context())
	if _, err := r.Cookie("__Host-session"); err == nil {
		if _, err := s.pipeline.Sessions().FromRequest(r); err != nil {
			http.Error(w, "signed out: "+err.Error(), http.StatusUnauthorized)
			return
		}
	}
	x.Identity = &flowhook.Identity{ID: r.FormValue("user")}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
	if handled || err != nil {
		http.Error(w, fmt.Sprint(handled, err), http.StatusInternalServerError)
		return
	}
	to, err := s.pipeline.ReturnURL(r, flowhook.Login, flowhook.Password)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	seen := *x.Request.Context().Value(flowtest.StampsKey{}).(*[]int)
	seen = append(seen, int(x.Session.ExpiresAt.Sub(x.Session.IssuedAt)/time.Second)-3600)
	fmt.Fprint(w, seen, " ", to)
}

// TestReload_UnderLoad replaces the configuration while clients sign in. Every request sees one
// version from its first hook to its cookie, and a rotation of secrets signs nobody out.
func TestReload_UnderLoad(t *testing.T) {
	reloads, requests := testkit.Times(t, 1000), testkit.Times(t, 100_000)
	const clients = 32
	opts := flowtest.StampOptions()
	p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(0, flowtest.VersionSecret(0))), opts)
	require.NoError(t, err)
	s := &reloadTest{t: t, pipeline: p}
	login := p.Middleware(flowhook.Login)(http.HandlerFunc(s.login))
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), flowtest.StampsKey{}, new([]int))))
	}))
	t.Cleanup(s.srv.Close)

	var served atomic.Int64
	var signed [clients]atomic.Int64 // the version that the client's token may be of, at the least
	var all sync.WaitGroup
	var wrong atomic.Pointer[string]
	complain := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		wrong.CompareAndSwap(nil, &text)
	}
	var versions sync.Map
	due := make(chan bool, requests) // a reload
	for i := range clients {
		all.Go(func() {
			cookie := ""
			for wrong.Load() == nil {
				n := int(served.Add(1))
				if n > requests {
					return
				}
				if n%(requests/(reloads+1)) == 0 {
					due <- true
				}
				r, err := http.NewRequest(http.MethodPost, s.srv.URL+"/?user="+fmt.Sprint("user", i), nil)
				if err != nil {
					complain("%v", err)
					return
				}
				if cookie != "" {
					r.Header.Set("Cookie", "__Host-session="+cookie)
				}
				res, err := s.srv.Client().Do(r)
				if err != nil {
					complain("%v", err)
					return
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				var v [6]int
				if _, err := fmt.Sscanf(string(body), "[%d %d %d %d %d] /version/%d", &v[0], &v[1], &v[2], &v[3],
					&v[4], &v[5]); err != nil || len(res.Cookies()) != 1 {
					complain("answered %d %q: %v", res.StatusCode, body, err)
					return
				}
				if slices.Min(v[:]) != slices.Max(v[:]) {
					complain("a mixture: %s", body)
					return
				}
				cookie = res.Cookies()[0].Value
				versions.Store(v[0], true)
				signed[i].Store(int64(v[0])) // the secrets from here on will do
			}
		})
	}
	done := make(chan bool)
	go func() { all.Wait(); close(done) }()
	for n := 1; n <= reloads; n++ {
		select {
		case <-due:
		case <-done: // something was wrong
		}
		oldest := n
		for i := range signed {
			oldest = min(oldest, int(signed[i].Load()))
		}
		var secrets []string
		for k := n; k >= oldest; k-- {
			secrets = append(secrets, flowtest.VersionSecret(k))
		}
		require.NoError(t, p.Reload(flowtest.Parse(t, flowtest.VersionYAML(n, secrets...))))
	}
	<-done
	if text := wrong.Load(); text != nil {
		t.Fatal(*text)
	}
	seen := 0
	versions.Range(func(any, any) bool { seen++; return true })
	require.Greater(t, seen, reloads/2, "too few versions were served")
	t.Logf("reload: %d reloads during %d requests, %d versions seen: no request saw two versions, and no rotation signed a user out", reloads, requests, seen)
}
