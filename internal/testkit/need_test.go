package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A fake is a test that is told how it ends.
type fake struct {
	testing.TB
	skipped, failed []any
}

func (f *fake) Helper()           {}
func (f *fake) Skip(args ...any)  { f.skipped = args }
func (f *fake) Fatal(args ...any) { f.failed = args; panic(f) }

func TestMissing_SkipsOrFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("TESTKIT_IS_NOT_SET", "")
	for what, need := range map[string]func(t testing.TB){
		"TESTKIT_IS_NOT_SET is not set":    func(t testing.TB) { Env(t, "TESTKIT_IS_NOT_SET") },
		"there is no Chromium in the PATH": func(t testing.TB) { Chromium(t) },
	} {
		t.Setenv("FLOWHOOK_NO_SKIP", "")
		f := &fake{}
		need(f)
		require.Equal(t, []any{what}, f.skipped)

		t.Setenv("FLOWHOOK_NO_SKIP", "1")
		f = &fake{}
		require.PanicsWithValue(t, f, func() { need(f) })
		require.Equal(t, []any{what + ", and nothing may be skipped"}, f.failed)
		require.Empty(t, f.skipped)
	}
	t.Setenv("TESTKIT_IS_SET", "here")
	require.Equal(t, "here", Env(t, "TESTKIT_IS_SET"))
}
