package flowhook_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// Whatever a file says, Check says of it what New does: New takes it if no finding is an error, and, if it is strict, if
// none is a warning either. Every finding can be shown, and its place is in the file.
func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yml")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		text = []byte(findingLine.ReplaceAllString(string(text), ""))
		f.Add(text, uint16(0), uint8(0), "")
		for i, piece := range []string{"{hook: redirect, config: {to: /}}, ", "phase: before_persist", "[]", "false", "password: ", "http://"} {
			f.Add(text, uint16(40*(i+1)), uint8(i), piece)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, place uint16, width uint8, piece string) {
		text := mutate(string(data), place, width, piece)
		cfg, err := flowhook.ParseConfig([]byte(text))
		if err != nil {
			return
		}
		found := cfg.Check(checked())
		_, err = flowhook.New(cfg, checked())
		require.Equal(t, len(worse(found, flowhook.SeverityError)) == 0, err == nil, "%v", err)
		_, err = flowhook.New(cfg, strict(checked()))
		require.Equal(t, len(worse(found, flowhook.SeverityWarning)) == 0, err == nil, "%v", err)
		require.Equal(t, found, cfg.Check(checked()), "for the second time")
		for _, f := range found {
			require.Contains(t, f.String(), f.Severity.String()+": "+f.Rule+": ")
			require.NotEmpty(t, f.Problem)
			require.True(t, f.Path != "" || f.Rule == "invalid", "%v", f)
			require.Positive(t, f.Line)
			require.LessOrEqual(t, f.Line, 1+strings.Count(text, "\n")+strings.Count(text, "\r"))
		}
	})
}
