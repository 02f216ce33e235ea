package acceptance_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A configDir is a directory with a config file and the files that it refers to.
type configDir struct {
	t   *testing.T
	dir string
}

func (f configDir) write(name, text string) {
	path := filepath.Join(f.dir, name)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(f.t, os.WriteFile(path, []byte(text), 0o600))
}

func (f configDir) load(text string) *flowhook.Config {
	f.t.Helper()
	f.write("auth.yml", text)
	cfg, err := flowhook.LoadConfig(filepath.Join(f.dir, "auth.yml"))
	require.NoError(f.t, err)
	return cfg
}

// A secret is the same key wherever it is stored: moving it signs nobody out.
func TestSecret_References(t *testing.T) {
	const secret = "9b1f4e7a0c6d83255ef1a9c47d20b86e"
	f := configDir{t, t.TempDir()}
	f.write("bare", secret)
	f.write("line", secret+"\n")
	f.write("windows", "\ufeff"+secret+"\r\n\r\n")
	f.write("spaces", "  "+secret+"\t ")
	t.Setenv("FLOWHOOK_BARE", secret)
	t.Setenv("FLOWHOOK_LINE", secret+"\n")
	t.Setenv("FLOWHOOK_SPACES", " \r\n"+secret+" \ufeff\n")
	opts := flowhook.Options{Store: memstore.New(), Logger: slog.New(slog.DiscardHandler)}
	pipeline := func(reference string) *flowhook.Pipeline {
		p, err := flowhook.New(f.load("secrets: {session: ['"+reference+"']}"), opts)
		require.NoError(t, err)
		return p
	}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	token, err := pipeline(secret).Sessions().Create(t.Context(), x)
	require.NoError(t, err)
	for _, reference := range []string{"file:bare", "file:line", "file:windows", "file:spaces", "file://bare",
		"file://./line",
		"${FLOWHOOK_BARE}", "${FLOWHOOK_LINE}", "${FLOWHOOK_SPACES}", " " + secret + " ", "\ufeff" + secret} {
		t.Run(reference+"/is the same key", func(t *testing.T) {
			found, err := pipeline(reference).Sessions().FromToken(t.Context(), token)
			require.NoError(t, err)
			assert.Equal(t, "alice", found.IdentityID)
		})
	}
	for name, cfg := range map[string]*flowhook.Config{"block": f.load("secrets:\n  session:\n    - |\n      " +
		secret + "\n"), "option": nil} {
		t.Run(name+"/is the same key", func(t *testing.T) {
			opts := opts
			if cfg == nil {
				opts.Secrets = []string{secret + "\n"}
			}
			p, err := flowhook.New(cfg, opts)
			require.NoError(t, err)
			_, err = p.Sessions().FromToken(t.Context(), token)
			assert.NoError(t, err)
		})
	}
}

// References are read with the file, and never again.
func TestLoadConfig(t *testing.T) {
	const text = `
secrets: {session: ["file:secret"]}
selfservice:
  login: {before: [{hook: body, config: {body: "file://dir/body.jsonnet"}}, {hook: body, config: {body: "${FLOWHOOK_BODY}"}}]}
  invite: {after: {magic: {hooks: [{hook: body, config: {body: "file:dir/body.jsonnet"}}]}}}
`
	const old, fresh = "the-old-secret-0123456789", "the-new-secret-0123456789"
	f := configDir{t, t.TempDir()}
	t.Setenv("FLOWHOOK_BODY", "old variable")
	f.write("secret", old)
	f.write("dir/body.jsonnet", "old file\n")
	var got []string
	opts := flowtest.Bodies(&got)
	opts.Secrets, opts.Store = nil, memstore.New()

	before := f.load(text)
	t.Setenv("FLOWHOOK_BODY", "new variable")
	f.write("secret", fresh)
	f.write("dir/body.jsonnet", "new file\n")
	after := f.load(text)
	require.NoError(t, os.Remove(filepath.Join(f.dir, "secret")))
	require.NoError(t, os.Remove(filepath.Join(f.dir, "dir/body.jsonnet")))
	require.NoError(t, os.Unsetenv("FLOWHOOK_BODY"))

	p, err := flowhook.New(before, opts)
	require.NoError(t, err)
	assert.Equal(t, []string{"old file", "old variable", "old file"}, got)
	token, err := p.Sessions().Create(t.Context(), &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}})
	require.NoError(t, err)

	got = nil
	require.NoError(t, p.Reload(after))
	assert.Equal(t, []string{"new file", "new variable", "new file"}, got)
	_, err = p.Sessions().FromToken(t.Context(), token)
	assert.ErrorIs(t, err, flowhook.ErrNoSession, "want the new secret")

	got = nil
	require.NoError(t, p.Reload(before))
	assert.Equal(t, []string{"old file", "old variable", "old file"}, got)
	_, err = p.Sessions().FromToken(t.Context(), token)
	assert.NoError(t, err, "want the old secret again")
}

// References are read in the entries of every flow and strategy, whatever their names are.
func TestSecret_ReferencesBesideFlowNamedHook(t *testing.T) {
	t.Setenv("FLOWHOOK_BODY", "the value")
	const hooks = "[{hook: body, config: {body: '${FLOWHOOK_BODY}'}}]"
	for name, text := range map[string]string{
		"flow": "selfservice: {hook: {after: " + hooks + "}, login: {before: " + hooks + "}}",
		"flow in flows": "selfservice: {flows: {hook: {after: {hooks: " + hooks + "}}, login: {before: {hooks: " +
			hooks + "}}}}",
		"strategy":        "selfservice: {login: {after: {hook: {hooks: " + hooks + "}, password: " + hooks + "}}}",
		"list":            "selfservice: {login: {after: {hook: " + hooks + ", hooks: " + hooks + "}}}",
		"strategy config": "selfservice: {login: {after: {hook: " + hooks + ", config: " + hooks + "}}}",
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			opts := flowtest.Bodies(&got)
			opts.Flows, opts.Strategies = []flowhook.Flow{"hook"}, []flowhook.Strategy{"hook", "config"}
			require.NoError(t, flowtest.Build(text, opts))
			assert.Equal(t, []string{"the value", "the value"}, got)
		})
	}
}

// New reports a reference that could not be read when the file was loaded, even if it could be read
// now.
func TestLoadConfig_BadReferences(t *testing.T) {
	require.NoError(t, os.Unsetenv("FLOWHOOK_LATE"))
	f := configDir{t, t.TempDir()}
	cfg := f.load("secrets: {session: ['file:late']}\nselfservice: {login: {before: [{hook: body, config: {body: '${FLOWHOOK_LATE}'}}]}}")
	f.write("late", "0123456789abcdef")
	t.Setenv("FLOWHOOK_LATE", "x")
	var got []string
	_, err := flowhook.New(cfg, flowtest.Bodies(&got))
	list := flowtest.Problems(err)
	require.Len(t, list, 2)
	assert.Contains(t, list[0], `1:21: secrets.session[0]: the file "late" cannot be read`)
	assert.Contains(t, list[1], `2:60: selfservice.login.before[0].config.body: the environment variable "FLOWHOOK_LATE" is not set`)
}

func TestLoadConfig_TooManyReferences(t *testing.T) {
	f := configDir{t, t.TempDir()}
	for _, limit := range []struct {
		name         string
		count, bytes int
		want         bool
	}{
		{"1,000 references", 1000, 1, true},
		{"1,001 references", 1001, 1, false},
		{"8 MiB", 128, 64 << 10, true},
		{"more than 8 MiB", 129, 64 << 10, false},
	} {
		t.Run(limit.name, func(t *testing.T) {
			f.write("body", strings.Repeat("b", limit.bytes))
			text := "selfservice: {login: {before: ["
			for i := range limit.count {
				text += fmt.Sprintf("{hook: body, config: {body: 'file:%d/../body'}}, ", i)
			}
			var got []string
			_, err := flowhook.New(f.load(text+"]}}"), flowtest.Bodies(&got))
			if limit.want {
				require.NoError(t, err)
				require.Len(t, got, limit.count)
				return
			}
			list := flowtest.Problems(err)
			require.Len(t, list, 1)
			assert.Contains(t, list[0], fmt.Sprintf("selfservice.login.before[%d].config.body: the file has too many references", limit.count-1))
		})
	}
}

// quiet returns options with secrets and without a log.
func quiet(secrets ...string) flowhook.Options {
	return flowhook.Options{Secrets: secrets, Logger: slog.New(slog.DiscardHandler)}
}

// An unmistakable reference or placeholder is not accepted as a secret.
func TestSecret_UnresolvedReference(t *testing.T) {
	for _, text := range []string{"$(FLOWHOOK_SECRET)", "${FLOWHOOK_SECRET}", "${FLOWHOOK_SECRET:-x}",
		"<your-secret-goes-here>",
		"<YOUR_SECRET_GOES_HERE>", "<Insert 32 random characters here>", "{{ .Values.flowhook.secret }}",
		"{{.Values.flowhook.secret}}",
		"prefix-{{ secret }}-suffix", " $(FLOWHOOK_SECRET)\n"} {
		t.Run(text, func(t *testing.T) {
			_, err := flowhook.New(nil, quiet(text))
			assert.Equal(t, []string{`Options.Secrets[0]: a reference or a placeholder that nothing has resolved; pass the secret itself, ` +
				`such as os.Getenv("NAME"); if this is the secret itself, replace it with the output of openssl rand -hex 32`}, flowtest.Problems(err))

			t.Setenv("FLOWHOOK_HELD", text)
			assert.Equal(t, []string{`1:22: secrets.session[0]: a reference or a placeholder that nothing has resolved; ` +
				`put the secret itself into the variable or the file; if this is the secret itself, replace it with the output of openssl rand -hex 32`},
				flowtest.Problems(flowtest.Build(`secrets: {session: [ "${FLOWHOOK_HELD}"]}`, quiet())))
		})
	}
}

// A file with a placeholder of another templating system is an error. Its hint is to put the secret
// into an environment variable.
func TestSecret_ForeignReference(t *testing.T) {
	for _, text := range []string{"$FLOWHOOK_SECRET_OF_A_SERVICE", "env://FLOWHOOK_SECRET", "env:FLOWHOOK_SECRET",
		"$env:FLOWHOOK_SECRET",
		"{env.FLOWHOOK_SECRET}", "{$FLOWHOOK_SECRET}", "%FLOWHOOK_SECRET%", "%env(resolve:FLOWHOOK_SECRET)%",
		"prefix-$(FLOWHOOK_SECRET)-suffix",
		"$$(FLOWHOOK_SECRET)", "vault://secret/data/flowhook", "op://vault/flowhook/key",
		"ref+awssecrets://flowhook/key", "FILE:/run/secrets/flowhook",
		"File:secrets/flowhook", "/run/secrets/flowhook", "/var/run/secrets/flowhook", "/etc/flowhook/secret",
		"ENC[AES256_GCM,data:Zm9v]", "ENC(Zm9vYmFyYmF6)",
		"{cipher}682bc583f4641835fa2d", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:flowhook",
		"projects/1/secrets/flowhook/versions/latest"} {
		t.Run(text, func(t *testing.T) {
			assert.Equal(t, []string{`1:22: secrets.session[0]: a reference or a placeholder that nothing has resolved; write ${NAME} for a variable ` +
				`of the environment, or file:PATH for the content of a file; if this is the secret itself, keep it in a variable and write ${NAME}`},
				flowtest.Problems(flowtest.Build(`secrets: {session: [ '`+text+`']}`, quiet())))

			t.Setenv("FLOWHOOK_HELD", text)
			assert.NoError(t, flowtest.Build(`secrets: {session: ['${FLOWHOOK_HELD}']}`, quiet()),
				"the hint must name environment variables")
			assert.NoError(t, flowtest.Build("", quiet(text)))
		})
	}
}

// A random secret is accepted, whichever characters it has.
func TestSecret_Random(t *testing.T) {
	texts := []string{"$Pa55word-of-a-service", "$lower_case_password", "$5up3rlongpassword", "100%-secret-and-100%",
		"%QXJ0ZW1pcyBGb3ds%",
		"%aHJ3ZW1wcyBGb3ds%", "<b>secret</b>-of-a-service", "<kJ8sQm2xVt0aLr5wZc>", "<correcthorsebatterystaple>",
		"a@b.example-secret@",
		"$2a$10$abcdefghijklmnopqrstuv", "{a}-and-{b}-and-{c}", "{FLOWHOOKSECRET}", "{abcdefghijklmnopqrst}",
		"a{{b}}c-a{{b}}c-a{{b}}c",
		"__secret__of__a_service", "__FLOWHOOK_SECRET__", "@FLOWHOOK_SECRET@", "#{FLOWHOOK_SECRET}",
		"x://kJ8sQm2xVt0aLr5w", "/kJ8s/Qm2xVt0aLr5w==",
		"$(kJ8s)Qm2x(Vt0aLr5w)"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := make([]byte, 32)
		for i := range text {
			text[i] = byte('!' + random.IntN('~'-'!'+1))
		}
		texts = append(texts, string(text), base64.StdEncoding.EncodeToString(text))
	}
	for _, text := range texts {
		if strings.Contains(text, "${") {
			continue
		}
		quoted := strings.ReplaceAll(text, "'", "''")
		require.NoError(t, flowtest.Build(`secrets: {session: ['`+quoted+`']}`, quiet()), text)
		require.NoError(t, flowtest.Build("", quiet(text)), text)
	}
}

// A reference to a secret may be surrounded by white space, as a secret may.
func TestSecret_ReferenceWithSpaces(t *testing.T) {
	f := configDir{t, t.TempDir()}
	f.write("key", "9b1f4e7a0c6d83255ef1a9c47d20b86e")
	t.Setenv("FLOWHOOK_HELD", "8b1f4e7a0c6d83255ef1a9c47d20b86e")
	_, err := flowhook.New(f.load(`secrets: {session: [" file:key ", "\t${FLOWHOOK_HELD}\n"]}`), quiet())
	assert.NoError(t, err)
}

type nilStore struct{ flowhook.Store }

type nilCourier struct{ flowhook.Courier }

type funcStore func()

func (funcStore) Transaction(ctx context.Context, _ string, fn func(context.Context) error) error {
	return fn(ctx)
}

func TestNew_TypedNil(t *testing.T) {
	for _, row := range []struct {
		name string
		opts flowhook.Options
		want []string
	}{
		{"pointer", flowhook.Options{Store: (*nilStore)(nil)},
			[]string{"Options.Store: a nil *acceptance_test.nilStore; leave it out, or check the error of the call that made it"}},
		{"function", flowhook.Options{Store: funcStore(nil)},
			[]string{"Options.Store: a nil acceptance_test.funcStore; leave it out, or check the error of the call that made it"}},
		{"courier", flowhook.Options{Courier: (*nilCourier)(nil)},
			[]string{"Options.Courier: a nil *acceptance_test.nilCourier; leave it out, or check the error of the call that made it"}},
		{"nothing", flowhook.Options{}, nil},
		{"value", flowhook.Options{Store: nilStore{}, Courier: nilCourier{}}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := flowhook.New(nil, row.opts)
			assert.Equal(t, row.want, flowtest.Problems(err))
		})
	}
}

// TestSecret_Rotation tests the document's four secrets, and every rotation of one to five.
func TestSecret_Rotation(t *testing.T) {
	inDocument := []string{"something-super-secret", "old-session-secret", "older-session-secret",
		"ancient-session-secret"}
	file := flowtest.Document(t, "07-session-secrets.yml")
	for _, s := range inDocument {
		require.Contains(t, file, "- "+s)
	}
	store := flowtest.NewUserStore()
	sessions := func(t *testing.T, text string, secrets ...string) *flowhook.Sessions {
		cfg, err := flowhook.ParseConfig([]byte(text))
		require.NoError(t, err)
		p, err := flowhook.New(cfg, flowhook.Options{Store: store, Secrets: secrets})
		require.NoError(t, err)
		return p.Sessions()
	}
	issue := func(t *testing.T, s *flowhook.Sessions) string {
		token, err := s.Create(t.Context(), &flowhook.Exchange{Identity: flowtest.Alice.Identity()})
		require.NoError(t, err)
		return token
	}
	accepts := func(t *testing.T, s *flowhook.Sessions, token string) bool {
		got, err := s.FromToken(t.Context(), token)
		if err != nil {
			require.ErrorIs(t, err, flowhook.ErrNoSession)
			return false
		}
		require.Equal(t, "alice", got.IdentityID)
		return true
	}

	t.Run("rotation in the document", func(t *testing.T) {
		document := sessions(t, file)
		for _, secret := range inDocument {
			require.True(t, accepts(t, document, issue(t, sessions(t, "", secret))), "signed earlier under %s", secret)
		}
		token := issue(t, document)
		require.True(t, accepts(t, sessions(t, "", inDocument[0]), token),
			"the token must be signed with the first secret")
		require.False(t, accepts(t, sessions(t, "", inDocument[1:]...), token),
			"the token was signed with another secret")
		require.False(t, accepts(t, document, issue(t, sessions(t, "", "a-secret-that-was-removed"))))
	})

	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprintf("%d secrets", n), func(t *testing.T) {
			var all []string
			for i := range 2 * n {
				all = append(all, fmt.Sprintf("secret-number-%03d", i))
			}
			t.Logf("rotation: %d secrets, each first once and then removed", n)
			// At each step, the newest is added in front, and the oldest is removed.
			tokens := map[int]string{}
			for step := range n + 1 {
				var now []string
				for i := n - 1 + step; i >= step; i-- {
					if i < len(all) {
						now = append(now, all[i])
					}
				}
				s := sessions(t, "", now...)
				tokens[n-1+step] = issue(t, s)
				for signed, token := range tokens {
					require.Equal(t, signed >= step, accepts(t, s, token), "step %d, signed with %d", step, signed)
				}
				for i, secret := range now {
					require.Equal(t, i == 0, accepts(t, sessions(t, "", secret), tokens[n-1+step]),
						"new tokens must be signed with the first secret only")
				}
			}
		})
	}
}
