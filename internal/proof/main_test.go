package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASkippedTestIsInTheTableAndFailsWhereNothingMaySkip(t *testing.T) {
	const events = `{"Action":"skip","Package":"github.com/flowhook/flowhook/internal/testkit"}
{"Action":"skip","Package":"github.com/flowhook/flowhook/internal/sqltest","Test":"TestStores"}
{"Action":"output","Package":"github.com/flowhook/flowhook","Test":"TestReload","Output":"1,000 reloads\n"}
{"Action":"pass","Package":"github.com/flowhook/flowhook","Test":"TestReload","Elapsed":1}
`
	for noSkip, passes := range map[string]bool{"": true, "1": false} {
		t.Setenv("FLOWHOOK_NO_SKIP", noSkip)
		p := &prover{}
		p.read("test", strings.NewReader(events))
		require.Len(t, p.rows, 2, "a package without tests skips nothing")
		require.Equal(t, row{step: "test", where: "internal/sqltest", shown: "TestStores was skipped", passed: passes}, p.rows[0])
		require.Equal(t, "1,000 reloads", p.rows[1].shown)
		require.Equal(t, passes, p.print(new(strings.Builder)))
	}
}
