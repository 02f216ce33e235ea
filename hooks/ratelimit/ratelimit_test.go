package ratelimit_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// basic limits logins.
const basic = `selfservice:
  flows:
    login:
      before:
        hooks:
          - hook: rate_limit
            config:
              limits:
                - {by: pair, tries: 5, every: 1m}
                - {by: account, tries: 8, every: 5m}
                - {by: client, tries: 20, every: 10s}
      after:
        hooks:
          - hook: rate_limit
`

func TestRateLimit_Refuses(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(401, 5, form{password: "wrong"})
	for _, password := range []string{"wrong", "right"} {
		res, body := s.post(form{password: password})
		require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
		require.Equal(t, "60", res.Header.Get("Retry-After"))
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Equal(t, "There were too many attempts. Please try again in 60 seconds.\n", body)
	}
	require.Contains(t, s.log.String(), `no attempts left by pair at \"login\"`)
	require.NotContains(t, s.log.String(), "alice")
	require.NotContains(t, s.log.String(), "192.0.2.1")

	res, body := s.post(form{accept: "application/json"})
	p := s.problem(res, body)
	require.Equal(t, "too_many_attempts", p["code"])
	require.Equal(t, "60", res.Header.Get("Retry-After"))

	s.requireStatus(200, 1, form{email: "bob"})
	s.requireStatus(200, 1, form{client: "192.0.2.2"})
	s.clock.Advance(59500 * time.Millisecond)
	s.requireStatus(429, 1, form{})
	s.clock.Advance(500 * time.Millisecond)
	s.requireStatus(401, 1, form{password: "wrong"})
	s.requireStatus(429, 1, form{})
}

// Each row limits what it is by, and a refused attempt uses up nothing of the other rows.
func TestRateLimit_Rows(t *testing.T) {
	t.Run("account", func(t *testing.T) {
		s := start(t, basic, nil)
		for i := range 8 {
			s.requireStatus(401, 1, form{password: "wrong", client: strconv.Itoa(i)})
		}
		res, _ := s.post(form{client: "another"})
		require.Equal(t, 429, res.StatusCode)
		require.Equal(t, "300", res.Header.Get("Retry-After"))
		require.Contains(t, s.log.String(), `no attempts left by account at \"login\"`)
		s.requireStatus(429, 50, form{client: "another"})
		for i := range 20 {
			s.requireStatus(401, 1, form{client: "another", email: strconv.Itoa(i), password: "wrong"})
		}
		s.requireStatus(429, 1, form{client: "another", email: "bob"})
	})
	t.Run("client", func(t *testing.T) {
		s := start(t, basic, nil)
		for i := range 20 {
			s.requireStatus(401, 1, form{email: strconv.Itoa(i), password: "wrong"})
		}
		s.requireStatus(429, 20, form{email: "alice"})
		require.Contains(t, s.log.String(), `no attempts left by client at \"login\"`)
		s.requireStatus(401, 5, form{email: "alice", password: "wrong", client: "another"})
	})
	t.Run("pair", func(t *testing.T) {
		s := start(t, basic, nil)
		s.requireStatus(401, 5, form{password: "wrong"})
		s.requireStatus(429, 100, form{password: "wrong"})
		s.requireStatus(401, 3, form{password: "wrong", client: "another"})
		s.requireStatus(429, 1, form{password: "wrong", client: "another"})
	})
}

// Successes cost nothing in the end, so nobody is refused who knows the password.
func TestRateLimit_GivesBack(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(401, 4, form{password: "wrong"})
	s.requireStatus(200, 100, form{})
	s.requireStatus(401, 1, form{password: "wrong"})
	s.requireStatus(429, 1, form{})
}

func TestRateLimit_RolledBackIsNotGivenBack(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(409, 5, form{password: "rollback"})
	s.requireStatus(429, 1, form{})
}

// Without an entry at after, successes count like failures.
func TestRateLimit_NoAfter(t *testing.T) {
	before, _, _ := strings.Cut(basic, "      after:\n")
	s := start(t, before, nil)
	s.requireStatus(200, 5, form{})
	s.requireStatus(429, 1, form{})
}

func TestRateLimit_SafeMethodsNeverCount(t *testing.T) {
	s := start(t, basic, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
		for range 30 {
			r, err := http.NewRequest(method, s.URL+"/login", nil)
			require.NoError(t, err)
			r.Header.Set("Client", "192.0.2.1")
			res, err := s.Client().Do(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, 200, res.StatusCode)
		}
	}
	require.Zero(t, s.memory.Len())
}

// Guessing elsewhere does not lock out a device that the account knows. It has its own limits.
func TestRateLimit_KnownDevice(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(401, 5, form{password: "wrong"})
	s.requireStatus(401, 3, form{password: "wrong", client: "another"})
	s.requireStatus(429, 1, form{client: "a third"}) // the owner on a new device
	s.requireStatus(200, 50, form{device: "phone of alice"})

	s.requireStatus(401, 5, form{password: "wrong", device: "phone of alice"})
	s.requireStatus(429, 1, form{device: "phone of alice"})
	s.requireStatus(429, 1, form{device: "phone of alice", client: "a third"})
	s.requireStatus(200, 1, form{device: "laptop of alice"})
	s.requireStatus(429, 1, form{device: "phone of bob"})
	s.clock.Advance(time.Minute)
	s.requireStatus(200, 1, form{device: "phone of alice"})
}

// What a known device uses up is not missing elsewhere.
func TestRateLimit_KnownDeviceCountsApart(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(401, 5, form{password: "wrong", device: "phone of alice"})
	s.requireStatus(429, 1, form{device: "phone of alice"})
	s.requireStatus(401, 5, form{password: "wrong"})
	s.requireStatus(401, 3, form{password: "wrong", client: "another"})
	s.requireStatus(429, 1, form{password: "wrong", client: "another"})
}

func TestRateLimit_Name(t *testing.T) {
	const entry = `
    %:
      before:
        hooks:
          - {hook: rate_limit, config: {@limits: [{by: pair, tries: 5, every: 1m}]}}`
	config := func(name string) string {
		text := strings.ReplaceAll(entry, "@", name)
		return "selfservice:\n  flows:" + strings.ReplaceAll(text, "%", "login") + strings.ReplaceAll(text, "%", "recovery")
	}
	s := start(t, config("name: sign_in, "), nil)
	s.requireStatus(401, 3, form{password: "wrong"})
	s.requireStatus(401, 2, form{password: "wrong", path: "/recovery"})
	s.requireStatus(429, 1, form{})
	s.requireStatus(429, 1, form{path: "/recovery"})

	s = start(t, config(""), nil)
	s.requireStatus(401, 5, form{password: "wrong"})
	s.requireStatus(401, 5, form{password: "wrong", path: "/recovery"})
	s.requireStatus(429, 1, form{})
	s.requireStatus(429, 1, form{path: "/recovery"})
}

// Of 10,000 parallel requests with a wrong password, exactly as many reach the handler as the
// account has attempts.
func TestRateLimit_Parallel(t *testing.T) {
	s := start(t, strings.Replace(basic, "tries: 5,", "tries: 50,", 1), nil)
	handler := s.Config.Handler
	var passed, refused atomic.Int64
	var all sync.WaitGroup
	for range 10_000 {
		all.Go(func() {
			r := httptest.NewRequest("POST", "/login", strings.NewReader("email=alice&password=wrong"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			switch w.Code {
			case http.StatusUnauthorized:
				passed.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 8, passed.Load())
	require.EqualValues(t, 9_992, refused.Load())
}
