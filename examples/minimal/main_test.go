package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// TestMain runs the service if a test started this binary as the service.
func TestMain(m *testing.M) {
	if os.Getenv("MINIMAL_RUN_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is the running service. lines has the lines that it has printed and no test has read.
type process struct {
	t     *testing.T
	base  string
	lines chan string
	jars  map[string]http.CookieJar
}

// start starts the service with a configuration and reads the tour.
func start(t *testing.T, config string) (p *process, tour []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-config", config)
	cmd.Env = append(os.Environ(), "MINIMAL_RUN_MAIN=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p = &process{t: t, lines: make(chan string, 1000), jars: map[string]http.CookieJar{}}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		for range p.lines {
		}
		require.NoError(t, cmd.Wait(), "an interrupt stops the service cleanly")
	})
	tour = p.curls("Emails are printed here")
	require.NotEmpty(t, tour)
	_, after, _ := strings.Cut(tour[0], "http://")
	host, _, _ := strings.Cut(after, "/")
	p.base = "http://" + host
	return p, tour
}

// curls reads the printed lines and returns the curl commands. It stops after a line that begins
// with last or, if last is empty, after the first curl command.
func (p *process) curls(last string) (lines []string) {
	p.t.Helper()
	for line := range p.lines {
		if strings.HasPrefix(line, "  curl ") {
			lines = append(lines, line)
		}
		if last != "" && strings.HasPrefix(line, last) || last == "" && len(lines) > 0 {
			return lines
		}
	}
	require.Fail(p.t, "the service has stopped")
	return nil
}

// words splits a line like a shell with single quotes and comments. The last word is the comment.
func words(line string) []string {
	line, comment, _ := strings.Cut(line, " # ")
	var list []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return append(list, comment)
}

// curl runs a printed command and compares the answer with the promised one.
func (p *process) curl(line string) {
	p.t.Helper()
	list := words(line)
	require.Equal(p.t, "curl", list[0], line)
	want, ok := strings.CutPrefix(list[len(list)-1], "-> ")
	require.True(p.t, ok, "%s: no expected answer", line)

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	method, body, target := "", "", ""
	for args := list[1 : len(list)-1]; len(args) > 0; args = args[1:] {
		switch args[0] {
		case "-sS":
		case "-sSL":
			client.CheckRedirect = nil
		case "-b", "-c":
			args = args[1:]
			if p.jars[args[0]] == nil {
				p.jars[args[0]] = secureJar(p.t)
			}
			client.Jar = p.jars[args[0]]
		case "-d":
			args = args[1:]
			body = args[0]
			method = http.MethodPost
		case "-X":
			args = args[1:]
			method = args[0]
		default:
			require.True(p.t, strings.HasPrefix(args[0], p.base), "%s: unexpected %s", line, args[0])
			target = args[0]
		}
	}
	status, got := p.do(client, method, target, body)
	require.Equal(p.t, want+"\n", got, "%s: status %d", line, status)
}

func (p *process) do(client *http.Client, method, target, body string) (status int, text string) {
	p.t.Helper()
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(req)
	require.NoError(p.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, string(b)
}

// trusting is a cookie jar that stores and sends Secure cookies on loopback, as browsers, curl, and
// net/http since Go 1.26 do.
type trusting struct{ *cookiejar.Jar }

func secureJar(t *testing.T) http.CookieJar {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return trusting{jar}
}

func https(u *url.URL) *url.URL {
	c := *u
	c.Scheme = "https"
	return &c
}

func (j trusting) SetCookies(u *url.URL, cookies []*http.Cookie) { j.Jar.SetCookies(https(u), cookies) }
func (j trusting) Cookies(u *url.URL) []*http.Cookie             { return j.Jar.Cookies(https(u)) }

func TestTour(t *testing.T) {
	p, tour := start(t, "auth.yml")
	for _, line := range tour {
		p.curl(line)
	}
	emailed := p.curls("")
	require.Len(t, emailed, 1)
	p.curl(emailed[0])

	_, again := p.do(http.DefaultClient, http.MethodPost, p.base+"/verification", words(emailed[0])[3])
	require.Equal(t, "flowhook: the token was already used\n", again, "a link works only once")
}

func TestVerification_LinkShowsButton(t *testing.T) {
	p, _ := start(t, "auth.yml")
	client := &http.Client{Jar: secureJar(t)}
	p.do(client, http.MethodPost, p.base+"/registration", "name=bob&email=bob@example.org&password=correct-horse")
	link := ""
	for line := range p.lines {
		if strings.HasPrefix(line, p.base+"/verification?token=") {
			link = line
			break
		}
	}
	for range 2 { // a mail scanner may open the link any number of times
		status, page := p.do(http.DefaultClient, http.MethodGet, link, "")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, "<form method=post><button>")
	}
	// the form has no action, so it is posted to the same URL
	_, text := p.do(http.DefaultClient, http.MethodPost, link, "")
	require.Equal(t, "verified\n", text)
}

func TestCrossOrigin(t *testing.T) {
	p, _ := start(t, "auth.yml")
	req, err := http.NewRequest(http.MethodPost, p.base+"/login",
		strings.NewReader("name=alice&password=correct-horse"))
	require.NoError(t, err)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusForbidden, res.StatusCode)
}

func TestAllowDomain_NeedsAddress(t *testing.T) {
	hook, err := allowDomain(flowhook.Point{}, func(any) error { return nil })
	require.NoError(t, err)
	for _, id := range []*flowhook.Identity{nil, {ID: "alice"}} {
		require.ErrorIs(t, hook.Run(t.Context(), &flowhook.Exchange{Identity: id}), flowhook.ErrNoIdentity)
	}
}

func TestRegistration_InvalidAddress(t *testing.T) {
	p, _ := start(t, "auth.yml")
	status, text := p.do(http.DefaultClient, http.MethodPost, p.base+"/registration",
		"name=carol&email=user..name@example.org&password=correct-horse")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "no, enter a name, an email address and a password of at least 8 bytes\n", text)
}

func TestRegistration_Concurrent(t *testing.T) {
	p, _ := start(t, "auth.yml")
	var all sync.WaitGroup
	answers := make(chan string, 8)
	for range cap(answers) {
		all.Go(func() {
			_, text := p.do(http.DefaultClient, http.MethodPost, p.base+"/registration",
				"name=carol&email=carol@example.org&password=correct-horse")
			answers <- text
		})
	}
	all.Wait()
	close(answers)
	count := map[string]int{}
	for text := range answers {
		count[text]++
	}
	require.Equal(t, map[string]int{"welcome\n": 1, "no, the name is taken\n": cap(answers) - 1}, count)
}

const lateYAML = `
secrets:
  session: [only-for-this-test-0123456789]
selfservice:
  registration:
    after:
      password:
        - hook: session
        - hook: verify
        - hook: allow_domain # answers 403 after everything is saved, which rolls it back
          config:
            domain: example.org
`

func TestRegistration_HookFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "late.yml")
	require.NoError(t, os.WriteFile(file, []byte(lateYAML), 0o600))
	p, _ := start(t, file)

	client := &http.Client{Jar: secureJar(t)}
	for range 2 { // the name is still free the second time
		status, text := p.do(client, http.MethodPost, p.base+"/registration",
			"name=dan&email=dan@elsewhere.example&password=correct-horse")
		require.Equal(t, http.StatusInternalServerError, status)
		require.Equal(t, "something went wrong; nothing was changed\n", text)
	}
	_, who := p.do(client, http.MethodGet, p.base+"/whoami", "")
	require.Equal(t, "flowhook: no session\n", who)
	_, login := p.do(client, http.MethodPost, p.base+"/login", "name=dan&password=correct-horse")
	require.Equal(t, "no, wrong name or password\n", login)
	require.Empty(t, p.lines, "an email was sent")
}
