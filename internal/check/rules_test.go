package check

import (
	"slices"
	"testing"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/stretchr/testify/assert"
	"gopkg.in/yaml.v3"
)

func TestRules(t *testing.T) {
	t.Run("names are unique", func(t *testing.T) {
		assert.Len(t, slices.Compact(slices.Clone(Rules)), len(rules))
	})

	t.Run("rules are described", func(t *testing.T) {
		for _, rule := range Rules {
			assert.Regexp(t, `^[A-Za-z].*\.$`, Describe(rule), rule)
		}
		assert.Empty(t, Describe("none"))
	})

	t.Run("kratos rules run only for a Kratos file", func(t *testing.T) {
		c := Config{File: &conf.File{Extend: conf.Value{Node: &yaml.Node{}}}}
		assert.Empty(t, c.Findings())
		c.File.Kratos = true
		if found := c.Findings(); assert.Len(t, found, 1) {
			assert.Equal(t, "kratos-extend", found[0].Rule)
		}
	})
}
