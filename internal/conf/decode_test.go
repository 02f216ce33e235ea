package conf

import (
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/spell"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type Common struct {
	Shared string `yaml:"shared"`
}

type tree struct {
	Common   `yaml:",inline"`
	Word     string
	Children []map[string]*tree `yaml:"children"`
	Skipped  string             `yaml:"-"`
	hidden   string
}

// Suggestions are the keys of the type, at any depth, and no others.
func TestDecode_SuggestsKeysOfType(t *testing.T) {
	root, bad := Parse([]byte("{shared: x, word: x, children: [{a: {wrd: x}}], zzzzz: x}"))
	require.Nil(t, bad)
	to := tree{hidden: "not read"}
	problems, cause := root.Decode(&to, nil)
	require.NoError(t, cause)
	var got []string
	for _, p := range problems {
		got = append(got, p.Path+": "+p.Text+"; "+p.Hint)
	}
	assert.Equal(t, []string{
		`children[0].a.wrd: unknown key "wrd"; did you mean "word"?`,
		`zzzzz: unknown key "zzzzz"; known: children, shared, word`,
	}, got)
}

func TestClip_CutsBetweenLetters(t *testing.T) {
	assert.Equal(t, strings.Repeat("a", 59)+"...", spell.Clip(strings.Repeat("a", 59)+"éé"))
	assert.Equal(t, strings.Repeat("a", 60), spell.Clip(strings.Repeat("a", 60)))
}
