package check

const (
	newSecret = "generate one with: openssl rand -hex 32"
	enough    = 32 // random bytes
)

func exampleSecret(c *Config, r *report) {
	for _, s := range c.Secrets {
		if example(s.Text) {
			r.place(s.Place, newSecret,
				"this secret was copied from documentation: anyone who has read it can sign session tokens")
		}
	}
}

func weakSecret(c *Config, r *report) {
	for _, s := range c.Secrets {
		if !example(s.Text) && strength(s.Text) < enough {
			r.place(s.Place, newSecret, "this secret is easier to guess than 32 random bytes, "+
				"and anyone who guesses it can sign session tokens")
		}
	}
}

func unusedSecrets(c *Config, r *report) {
	if c.Unused && len(c.File.Secrets) > 0 {
		r.value(c.File.Secrets[0].Value, "remove them, or leave Options.Secrets empty",
			"the file's secrets have no effect: Options.Secrets replaces them")
	}
}
