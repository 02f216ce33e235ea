package reference

import "regexp"

// foreign are the references of other systems, and placeholders. Nothing resolves them here, so
// that a secret of this kind is one that anybody can guess.
var foreign = regexp.MustCompile(`(?s)^(?:` +
	`\$(?:[A-Z_][A-Z0-9_]*|[a-z_][a-z0-9_]*)` + // $NAME: the shell; not of mixed case, which may be a password
	`|\$\(.*\)` + // $(NAME): Kubernetes
	`|\$\{.*\}` +
	`|#\{.*\}` +
	`|\$?[eE][nN][vV]:(?://)?[A-Za-z_][A-Za-z0-9_]*` + // env://NAME, $env:NAME: PowerShell
	`|\{\$?(?:env[.:])?[A-Za-z_][A-Za-z0-9_]*\}` + // {env.NAME}, {$NAME}: Caddy
	`|%[A-Za-z_][A-Za-z0-9_]*%` + // Windows
	`|@[A-Z_][A-Z0-9_]*@` +
	`|__[A-Z0-9_]*__` +
	`|file:.*|[a-z][a-z0-9+.-]*://.*` + // op://vault/item
	`|ENC\[.*\]` + // SOPS
	`)$`)

// placeholder are texts that a template, or a reader of the documentation, was meant to replace.
var placeholder = regexp.MustCompile(`(?s)^<.*>$|\{\{.*\}\}`)

// IsUnresolved reports whether a value, such as $(NAME), {env.NAME} or <placeholder>, is written as
// if something would replace it. A value for [Resolve] is not among them.
func IsUnresolved(value string) bool {
	value = Trim(value)
	return foreign.MatchString(value) || placeholder.MatchString(value)
}

// variables are the foreign references that hardly anything but a variable of the environment is
// written as.
var variables = regexp.MustCompile(`^(?:\$[A-Z_][A-Z0-9_]*|\$\([A-Za-z_][A-Za-z0-9_]*\)|` +
	`[eE][nN][vV]://[A-Za-z_][A-Za-z0-9_]*|\{\$[A-Za-z_][A-Za-z0-9_]*\}|\{env\.[A-Za-z_][A-Za-z0-9_]*\}|%[A-Z_][A-Z0-9_]*%)$`)

// IsForeignVariable reports whether a value names a variable of the environment in the way of
// another system, such as $NAME. Where it is not a secret, it may be meant.
func IsForeignVariable(value string) bool { return variables.MatchString(Trim(value)) }
