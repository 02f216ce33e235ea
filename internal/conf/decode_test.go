package conf

import (
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/spell"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type Common struct {
	Shared string `yaml:"shared"`
}

type leaf struct {
	Color string
	Since time.Duration
}

type tree struct {
	Common   `yaml:",inline"`
	More     struct{ Extra string } `yaml:",inline"`
	Word     string
	Leaf     leaf
	Children []map[string]*tree `yaml:"children"`
	Skipped  string             `yaml:"-"`
	hidden   string
}

// Suggestions are the keys of the same mapping, and no others.
func TestDecode_Errors(t *testing.T) {
	root, bad := Parse([]byte("{shared: x, word: x, leaf: {word: x, since: 10}, children: [{a: {wrd: x, children: x}}], zzzzz: x}"))
	require.Nil(t, bad)
	to := tree{hidden: "not read"}
	problems, cause := root.Decode(&to, nil)
	require.NoError(t, cause)
	var got []string
	for _, p := range problems {
		got = append(got, p.Path+": "+p.Text+"; "+p.Hint)
	}
	assert.Equal(t, []string{
		`leaf.word: unknown key "word"; known: color, since`,
		`leaf.since: expected a duration, found a number; write it as in 90s or 1h30m`,
		`children[0].a.wrd: unknown key "wrd"; did you mean "word"?`,
		`children[0].a.children: expected a list, found a string; write it in brackets`,
		`zzzzz: unknown key "zzzzz"; known: children, extra, leaf, shared, word`,
	}, got)
}

func TestClip_CutsBetweenLetters(t *testing.T) {
	assert.Equal(t, strings.Repeat("a", 59)+"...", spell.Clip(strings.Repeat("a", 59)+"éé"))
	assert.Equal(t, strings.Repeat("a", 60), spell.Clip(strings.Repeat("a", 60)))
}

// Columns count characters, also in what is no YAML.
func TestParse_ColumnsAreCharacters(t *testing.T) {
	for text, column := range map[string]int{"é: @x": 4, "e: @x": 4, "é: [a, *b]": 8} {
		_, bad := Parse([]byte(text))
		require.NotNil(t, bad, text)
		assert.Equal(t, column, bad.Column, text)
	}
}
