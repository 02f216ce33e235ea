package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A providerConfig is an OpenID provider as the environment configures it.
type providerConfig struct {
	Key      string // its name in OIDC_PROVIDERS, in URLs and in the names of its variables
	Issuer   string // its URL
	Identity string // the issuer in stored identities; empty for Issuer
	Name     string // for users
	Logo     logo

	ClientID, ClientSecret string
}

var providerKey = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// exampleProvider is the provider of the examples in --help and the README.
const exampleProvider = "acme"

// providerVariables returns the variables of the provider with a key. The variables of all
// providers have the same endings.
func providerVariables(key string) []variable {
	name := providerConfig{Key: key}.variable
	reads := func(read func(p *providerConfig, value string) error) func(c *config, value string) error {
		return func(c *config, value string) error {
			i := slices.IndexFunc(c.Providers, func(p providerConfig) bool { return p.Key == key })
			return read(&c.Providers[i], value)
		}
	}
	return []variable{
		{name("ISSUER"), "", "https://" + key + ".example.org", "the URL of the provider " + key, reads(readIssuer)},
		{name("CLIENT_ID"), "", "authservice", "the client ID at the provider, whose redirect URI is PUBLIC_URL" +
			callbackPath(key), reads(readClientID)},
		{name("CLIENT_SECRET"), "", "the-secret-from-the-provider", "the client secret at the provider",
			reads(readClientSecret)},
		{name("NAME"), "", strings.ToUpper(key[:1]) + key[1:], "the name in \"Continue with ...\" (the host of the issuer)",
			reads(readProviderName)},
		{name("LOGO"), "", "static/logo.svg", "a file with the logo beside the name, at most 256 KiB (none)",
			reads(readProviderLogo)},
	}
}

// allVariables returns the service's variables and those of the providers with these keys.
func allVariables(keys ...string) []variable {
	all := slices.Clone(variables)
	for _, key := range keys {
		all = append(all, providerVariables(key)...)
	}
	return all
}

var providerVariable = regexp.MustCompile(`^OIDC_([A-Z0-9]{1,20})_(?:ISSUER|CLIENT_ID|CLIENT_SECRET|NAME|LOGO)$`)

// providerOf returns the key of the provider whose variable has this name, or "".
func providerOf(name string) string {
	if found := providerVariable.FindStringSubmatch(name); found != nil {
		return strings.ToLower(found[1])
	}
	return ""
}

// keys returns the keys of the providers.
func (c *config) keys() (keys []string) {
	for _, p := range c.Providers {
		keys = append(keys, p.Key)
	}
	return keys
}

// variable returns the name of the provider's variable with an ending.
func (p providerConfig) variable(ending string) string {
	return "OIDC_" + strings.ToUpper(p.Key) + "_" + ending
}

// providerConflicts returns what is wrong with a provider as a whole, or between two. The
// identities of users are stored by issuer, so each provider has an issuer of its own. wrong is
// called with the name of the variable.
func (c *config) providerConflicts(wrong func(name, problem string)) {
	for i, p := range c.Providers {
		switch {
		case p.Issuer == "":
			wrong(p.variable("ISSUER"), "is missing: OIDC_PROVIDERS has "+p.Key)
		case p.ClientID == "":
			wrong(p.variable("CLIENT_ID"), "is missing: "+p.variable("ISSUER")+" needs it")
		}
		for _, other := range c.Providers[:i] {
			switch {
			case p.Issuer != "" && p.Issuer == other.Issuer:
				wrong(p.variable("ISSUER"), "is that of "+other.variable("ISSUER")+", too: each provider has its own")
			case p.Issuer != "" && strings.EqualFold(p.label(), other.label()):
				wrong(p.variable("NAME"), fmt.Sprintf("must be set to another name: users could not tell %s from %s, "+
					"whose name is %q, too", p.Key, other.Key, other.label()))
			}
		}
	}
}

// label returns the name for users: Name or, without one, the issuer's host.
func (p providerConfig) label() string { return cmp.Or(p.Name, hostOf(p.Issuer), p.Key) }

// readProviders reads OIDC_PROVIDERS: keys, separated by commas.
func readProviders(c *config, value string) error {
	var found []providerConfig
	for key := range strings.SplitSeq(value, ",") {
		key = strings.TrimSpace(key)
		switch {
		case key == "":
			continue
		case !providerKey.MatchString(key):
			return fmt.Errorf("contains %q, which is not 1 to 20 of the characters a to z and 0 to 9", key)
		case slices.ContainsFunc(found, func(p providerConfig) bool { return p.Key == key }):
			return fmt.Errorf("contains %s twice", key)
		}
		found = append(found, providerConfig{Key: key})
	}
	c.Providers = found
	return nil
}

func readIssuer(p *providerConfig, value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return errors.New("must be the provider's URL, exactly as in its discovery document")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("is plain http, so anyone on the way could read the client secret; use https")
	}
	p.Issuer = value
	return nil
}

func readClientID(p *providerConfig, value string) error {
	p.ClientID = value
	return nil
}

func readClientSecret(p *providerConfig, value string) error {
	p.ClientSecret = value
	return nil
}

func readProviderName(p *providerConfig, value string) (err error) {
	p.Name, err = readLabel(value)
	return err
}

func readProviderLogo(p *providerConfig, path string) (err error) {
	p.Logo, err = readLogo(path)
	return err
}
