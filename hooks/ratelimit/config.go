package ratelimit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// The values of on_error.
const (
	onErrorContinue = "continue"
	onErrorRefuse   = "refuse"
)

// config is the config of an entry at before.
type config struct {
	Name    string `yaml:"name"` // entries with the same name share their allowances
	Limits  []row  `yaml:"limits"`
	OnError string `yaml:"on_error"`
}

// A row is one limit.
type row struct {
	By    string        `yaml:"by"`
	Tries int           `yaml:"tries"`
	Every time.Duration `yaml:"every"`
}

// The limits of a row. They keep what limiters calculate far from an overflow.
const (
	shortest = time.Millisecond
	longest  = 365 * 24 * time.Hour
)

// findings returns what is wrong with a config, and what may surprise its reader.
func (c *config) findings() (found []flowhook.Finding) {
	wrong := func(path, hint, problem string, args ...any) {
		found = append(found, flowhook.Finding{Severity: flowhook.SeverityError, Rule: "invalid", Path: path,
			Problem: fmt.Sprintf(problem, args...), Hint: hint})
	}
	if c.Name == "" {
		wrong("name", "leave it out, or write a name that other entries use, too", "the name is empty")
	}
	if c.OnError != onErrorContinue && c.OnError != onErrorRefuse {
		wrong("on_error", "write continue or refuse", "unknown on_error %q", c.OnError)
	}
	if len(c.Limits) == 0 {
		wrong("limits", "write a row, such as {by: account, tries: 5, every: 1m}", "there are no limits")
	}
	for i, r := range c.Limits {
		if !slices.Contains([]string{byClient, byAccount, byPair}, r.By) {
			wrong("limits", "write client, account or pair", "limits[%d]: unknown by %q", i, r.By)
		} else if c.row(r.By) != &c.Limits[i] {
			wrong("limits", "put it into another entry, with a name of its own", "limits[%d]: a second row by %s", i, r.By)
		}
		switch {
		case r.Tries < 1:
			wrong("limits", "write a positive number, such as tries: 5", "limits[%d]: tries is %d", i, r.Tries)
		case r.Every < shortest:
			wrong("limits", "write at least 1ms, such as every: 1m", "limits[%d]: every is %q", i, r.Every)
		case r.Every > longest/time.Duration(r.Tries):
			wrong("limits", "lower one of them", "limits[%d]: tries times every is more than 365 days", i)
		}
	}
	if len(found) == 0 {
		found = c.surprises()
	}
	return found
}

// surprises returns what may surprise the reader of a config that is valid.
func (c *config) surprises() []flowhook.Finding {
	account, pair := c.row(byAccount), c.row(byPair)
	if account == nil || pair != nil && pair.Tries < account.Tries {
		return nil
	}
	return []flowhook.Finding{{Severity: flowhook.SeverityNote, Rule: "lock-out", Path: "limits",
		Problem: "a single client can use up the attempts of an account, which keeps its owner out",
		Hint:    "add a row by pair, with fewer tries than the one by account"}}
}

// row returns the first row of a kind, or nil if there is none.
func (c *config) row(by string) *row {
	if i := slices.IndexFunc(c.Limits, func(r row) bool { return r.By == by }); i >= 0 {
		return &c.Limits[i]
	}
	return nil
}

// describe says what the limits are, for operators.
func (c *config) describe() string {
	limits := make([]string, len(c.Limits))
	for i, r := range c.Limits {
		limits[i] = fmt.Sprintf("%d by %s, then one every %s", r.Tries, r.By, r.Every)
	}
	return fmt.Sprintf("Limits attempts at %q: %s.", c.Name, strings.Join(limits, "; "))
}
